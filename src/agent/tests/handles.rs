//! Stories about signals through the URL of a handle, on hosts that have nothing else.

use super::super::*;
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{HandleSource, Transport, testing};
use crate::signal::{Answer, Place, Target};
use crate::stack::Look;

fn at(ms: u64) -> Turn {
    let start = Moment { boot_ms: 20_000, wall_ms: 1_790_000_000_000 };
    Turn { now: start.plus(std::time::Duration::from_millis(ms)), dice: u128::from(ms) + 1 }
}

fn plan(transport: Transport) -> Arc<Plan> {
    let mut signal = testing::signal("web", "WebReady", &["a"]);
    (signal.stack_id, signal.region) = (None, None);
    signal.transport = transport;
    signal.min_healthy_time = std::time::Duration::ZERO;
    Arc::new(testing::plan(vec![signal], vec![testing::check("a")]))
}

fn by_file() -> Transport {
    Transport::Handle(HandleSource::File("/etc/handle".into()))
}

/// What came of a step, with the ledger written at once.
fn step(core: &mut Core, ms: u64, input: Input) -> Vec<Effect> {
    let mut effects = core.step(at(ms), input);
    while let Some(Effect::Record(document)) = effects.iter().rev().find(|effect| matches!(effect, Effect::Record(_))) {
        let generation = document.generation;
        effects.retain(|effect| !matches!(effect, Effect::Record(_)));
        effects.extend(core.step(at(ms), Input::Recorded { generation }));
    }
    effects
}

/// A core whose check passes and whose host is known, but for what `place` tells.
fn healthy(transport: Transport, stack: Option<&str>, region: Option<&str>, place: Option<Result<Place, String>>) -> (Core, Vec<Effect>) {
    let mut core = Core::new(plan(transport), Arc::from("b"), LedgerDocument::empty(), at(0));
    let mut effects = step(&mut core, 0, Input::Tick);
    if let Some(place) = place {
        effects.extend(step(&mut core, 1, Input::Handles(Places::from([(Name::from("web"), place)]))));
    }
    let identity =
        Identity { instance_id: "i-1".into(), region: region.map(str::to_owned), stack_id: stack.map(str::to_owned), names: Vec::new() };
    effects.extend(step(&mut core, 2, Input::Identified(Ok(identity))));
    effects.extend(step(&mut core, 5_000, Input::Tick));
    for turn in 0..8 {
        let runs: Vec<_> =
            effects.iter().filter_map(|effect| if let Effect::Probe { run, .. } = effect { Some(*run) } else { None }).collect();
        for run in runs {
            effects.extend(step(
                &mut core,
                6_000 + turn * 1_100,
                Input::Observed { run, observation: Observation::new(Health::Passing, "ok") },
            ));
        }
        effects.extend(step(&mut core, 7_000 + turn * 1_100, Input::Tick));
    }
    (core, effects)
}

fn sent(effects: &[Effect]) -> Vec<Target> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Send { request, .. } = effect { Some(request.target.clone()) } else { None })
        .collect()
}

fn look(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| if let Effect::Look { look, .. } = effect { Some(*look) } else { None })
}

fn named() -> Place {
    Place { stack_id: Some("stack".into()), region: Some("cn-hangzhou".into()), ..Place::default() }
}

#[test]
fn scenario_1_a_url_of_another_handle_than_resource_says_is_told_once() {
    let place = Place { resource: Some("DbReady".into()), ..named() };
    let (mut core, mut effects) = healthy(by_file(), None, None, Some(Ok(place.clone())));
    effects.extend(step(&mut core, 20_000, Input::Handles(Places::from([(Name::from("web"), Ok(place))]))));
    let told = effects.iter().filter(|effect| matches!(effect, Effect::Note(note) if note.text.contains("that of the handle DbReady")));
    assert_eq!(told.count(), 1);
}

#[test]
fn notes_say_what_they_are_about() {
    let (mut core, effects) = healthy(Transport::Api, Some("stack"), Some("cn-hangzhou"), None);
    let mut told = effects.clone();
    let waits = Input::Looked { look: look(&effects).unwrap(), result: Look::Waiting, shown: None };
    let effects = step(&mut core, 20_000, waits);
    let (send, unique_id) = effects
        .iter()
        .find_map(|effect| if let Effect::Send { send, request } = effect { Some((*send, request.unique_id.clone())) } else { None })
        .unwrap();
    told.extend(step(&mut core, 21_000, Input::Answered { send, answer: Answer::Accepted { request_id: "R-1".into() } }));
    let about = |text: &str| {
        told.iter()
            .find_map(|effect| if let Effect::Note(note) = effect { note.text.contains(text).then(|| note.about.clone()) } else { None })
    };
    let verdict = About {
        signal: Some(Name::from("web")),
        stack_id: Some("stack".into()),
        unique_id: Some(unique_id.as_str().to_owned()),
        ..About::default()
    };
    assert_eq!(about("verdict SUCCESS"), Some(verdict.clone()));
    assert_eq!(about("acknowledged by ROS"), Some(About { request_id: Some("R-1".into()), ..verdict }));
    assert_eq!(about("initial -> passing").unwrap().signal, None, "a check is not a signal");
}

#[test]
fn without_credentials_the_url_of_a_handle_is_used_at_once_and_the_api_waits() {
    let refused = || Look::NoCredentials("no credentials: environment".into());
    let (mut core, effects) = healthy(by_file(), None, None, Some(Ok(named())));
    assert!(sent(&effects).is_empty(), "the look comes first");
    let after = step(&mut core, 20_000, Input::Looked { look: look(&effects).unwrap(), result: refused(), shown: None });
    assert_eq!(sent(&after), [Target { region: "cn-hangzhou".into(), stack_id: "stack".into(), resource: "WebReady".into() }]);

    let (mut core, effects) = healthy(Transport::Api, Some("stack"), Some("cn-hangzhou"), None);
    let after = step(&mut core, 20_000, Input::Looked { look: look(&effects).unwrap(), result: refused(), shown: None });
    assert!(sent(&after).is_empty(), "as after any look that failed");
}

#[test]
fn the_stack_that_the_url_names_comes_before_a_tag_that_may_appear_later() {
    let (_, effects) = healthy(by_file(), Some("of-the-tag"), Some("cn-beijing"), Some(Ok(named())));
    let looked = effects.iter().find_map(|effect| if let Effect::Look { target, .. } = effect { Some(target.clone()) } else { None });
    assert_eq!(looked.unwrap().stack_id, "stack");
    let (_, effects) = healthy(by_file(), Some("of-the-tag"), Some("cn-beijing"), Some(Ok(Place::default())));
    assert_eq!(look(&effects), None, "nobody can be asked about a stack that is not known");
    assert_eq!(sent(&effects), [Target { region: "cn-beijing".into(), stack_id: Target::UNNAMED.into(), resource: "WebReady".into() }]);
}

#[test]
fn scenario_1_a_file_that_cannot_be_read_is_said_and_looked_at_again_soon() {
    let (mut core, effects) = healthy(by_file(), None, Some("cn-hangzhou"), Some(Err("handle file /etc/handle: No such file".into())));
    let said = |effect: &Effect| matches!(effect, Effect::Note(note) if note.text == "signal web: handle file /etc/handle: No such file");
    assert!(effects.iter().any(said));
    assert!(sent(&effects).is_empty());
    assert!(core.status().signals[0].detail.contains("handle file /etc/handle: No such file"), "{}", core.status().signals[0].detail);
    assert!(effects.iter().filter(|effect| matches!(effect, Effect::Identify)).count() > 1, "it is read again");
    step(&mut core, 21_000, Input::Handles(Places::from([(Name::from("web"), Ok(Place::default()))])));
    let after = step(&mut core, 21_001, Input::Tick);
    assert!(core.status().signals[0].stack_id.as_deref() == Some(Target::UNNAMED), "{after:?}");
}

#[test]
fn a_url_that_comes_back_after_a_restart_is_the_same_signal() {
    let (mut core, effects) = healthy(by_file(), None, Some("cn-hangzhou"), Some(Ok(Place::default())));
    let id = |effects: &[Effect]| {
        effects.iter().find_map(|e| if let Effect::Send { request, .. } = e { Some(request.unique_id.clone()) } else { None })
    };
    let first = id(&effects).unwrap();
    let identity =
        Identity { instance_id: "i-1".into(), region: Some("cn-hangzhou".into()), stack_id: Some("tag".into()), names: Vec::new() };
    step(&mut core, 30_000, Input::Identified(Ok(identity)));
    assert_eq!(core.status().signals.len(), 1);
    let (_, again) = healthy(by_file(), Some("tag"), Some("cn-hangzhou"), Some(Ok(Place::default())));
    assert_eq!(id(&again).unwrap(), first, "also when the ledger was lost");
}
