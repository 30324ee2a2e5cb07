//! The way of one request: recorded, struck by a fault or not, processed, recorded again.
//!
//! It runs as a task of its own: once a request has been read it is processed to its end, even when the client has
//! gone away meanwhile, as a real service would.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::answer::{Answer, Body, Ending, Outcome};
use crate::api::{Scripted, Seen};
use crate::clock::http_date;
use crate::faults::{Effect, LONGEST_STALL_SECONDS, When};
use crate::refusal::Refusal;
use crate::request::{Request, Service};
use crate::seal;
use crate::smq;
use crate::world::World;

/// Size of the pieces in which a whole body is sent that is to be cut or repeated.
const DEFAULT_PIECE: usize = 16 * 1024;

/// Handles one request of any service but the control interface. `gone` is dropped by the other side when the client has gone away.
pub(crate) async fn handle(world: Arc<World>, request: Request, mut stop: watch::Receiver<bool>, gone: watch::Receiver<()>) -> Outcome {
    let now = world.clock.now();
    let (number, struck) = {
        let mut inner = world.lock();
        let number = inner.records.arrived(&request, now);
        (number, inner.faults.strike(&request, now))
    };
    let kind = struck.as_ref().map(|(_, effect)| kind(effect));
    world.lock().records.complete(number, |record| record.fault.clone_from(&kind));
    let mut seen = Seen::default();
    let mut outcome = tokio::select! {
        outcome = act(&world, &request, struck.as_ref(), &mut seen, gone) => outcome,
        _ = stop.wait_for(|stopped| *stopped) => Outcome::Reset,
    };
    if let Outcome::Answer(answer) = &mut outcome
        && !answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("date"))
    {
        let skew = match struck {
            Some((_, Effect::Date { skew_seconds })) => skew_seconds,
            _ => 0,
        };
        let date = http_date(world.clock.told() + time::Duration::seconds(skew));
        answer.headers.push(("date".to_owned(), date));
    }
    world.record(number, kind, &seen, &outcome, world.clock.now());
    // A refusal that begins after this request closes the port only now.
    world.ring();
    outcome
}

async fn act(world: &World, request: &Request, struck: Option<&(u64, Effect)>, seen: &mut Seen, gone: watch::Receiver<()>) -> Outcome {
    match struck {
        Some((_, Effect::Reset { when: When::Before })) => return Outcome::Reset,
        Some((id, Effect::Stall { when: When::Before, seconds })) => stall(world, *id, *seconds).await,
        Some((_, effect @ Effect::Http { when: When::Before, .. })) => return Outcome::Answer(scripted_http(effect)),
        Some((_, Effect::ExpireCredentials)) => expire_credentials(world, request),
        _ => {}
    }
    let scripted = struck.and_then(|(_, effect)| scripted(effect, request));
    let (answer, what) = match request.service {
        _ if is_certificate(request) => (Answer::text(200, seal::CERTIFICATE), Seen::default()),
        Service::Smq => match smq::serve::answer(world, request, scripted.as_ref(), gone).await {
            Some(answered) => answered,
            None => return Outcome::Reset,
        },
        _ => world.process(request, scripted.as_ref()),
    };
    *seen = what;
    match struck {
        Some((_, Effect::Reset { when: When::After })) => Outcome::Reset,
        Some((id, Effect::Stall { when: When::After, seconds })) => {
            stall(world, *id, *seconds).await;
            Outcome::Answer(answer)
        }
        Some((_, effect @ Effect::Http { when: When::After, .. })) => Outcome::Answer(scripted_http(effect)),
        _ => Outcome::Answer(answer),
    }
}

/// The certificate of EventBridge: the real one lies in a bucket that everybody can read.
fn is_certificate(request: &Request) -> bool {
    request.service == Service::Ros && request.method == "GET" && request.path == seal::CERTIFICATE_PATH
}

/// Waits until the time is over or the fault has been cleared.
async fn stall(world: &World, fault: u64, seconds: Option<f64>) {
    let length = Duration::from_secs_f64(seconds.unwrap_or(LONGEST_STALL_SECONDS).clamp(0.0, LONGEST_STALL_SECONDS));
    let mut changed = world.faults_changed.subscribe();
    let cleared = async {
        while world.lock().faults.exists(fault) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(length, cleared).await;
}

fn scripted(effect: &Effect, request: &Request) -> Option<Scripted> {
    let refusal = |status: u16, code: &str, message: String, retry_after_ms: Option<u64>| {
        Scripted::Gateway(Refusal { retry_after_ms, ..Refusal::new(status, code, message) })
    };
    Some(match effect {
        Effect::TooEarly => Scripted::TooEarly,
        Effect::StackNotFound => Scripted::StackNotFound,
        Effect::Forbidden if request.service == Service::Smq => Scripted::Gateway(smq::api::denied()),
        Effect::Throttle { code, .. } if request.service == Service::Smq => {
            let code = if code == "Throttling.User" { "QpsLimitExceeded" } else { code };
            refusal(503, code, "The qps limit is exceeded.".to_owned(), None)
        }
        Effect::Forbidden => Scripted::Gateway(Refusal::denied(&request.action().unwrap_or_default())),
        Effect::Error { code, status, message, retry_after_ms } => {
            let message = message.clone().unwrap_or_else(|| format!("The sandbox was told to answer {code}."));
            refusal(*status, code, message, *retry_after_ms)
        }
        Effect::Throttle { code, retry_after_ms } => {
            refusal(400, code, "Request was denied due to user flow control.".to_owned(), *retry_after_ms)
        }
        _ => return None,
    })
}

fn expire_credentials(world: &World, request: &Request) {
    let id = match request.service {
        Service::Smq => smq::signature::claim(request).map(|claim| claim.access_key_id),
        _ => crate::signature::claim(request).map(|claim| claim.access_key_id),
    };
    if let Ok(id) = id {
        world.lock().gate.expire(&id, world.clock.now());
    }
}

fn scripted_http(effect: &Effect) -> Answer {
    let Effect::Http { status, headers, body, piece, pause_ms, cut_after, endless, .. } = effect else {
        return Answer::text(500, "no scripted answer");
    };
    let mut answer = Answer::text(*status, body.clone());
    answer.headers = headers.clone();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        answer.headers.push(("content-type".to_owned(), "text/html".to_owned()));
    }
    let mut content = body.clone().into_bytes();
    let ending = match (cut_after, endless) {
        (Some(cut), _) => {
            answer.headers.push(("content-length".to_owned(), content.len().max(1).to_string()));
            content.truncate(usize::try_from(*cut).unwrap_or(usize::MAX));
            Ending::Cut
        }
        (None, true) => Ending::Endless,
        (None, false) => Ending::Whole,
    };
    if ending != Ending::Whole || piece.is_some() || *pause_ms > 0 {
        let piece = piece.and_then(|piece| usize::try_from(piece).ok()).unwrap_or(DEFAULT_PIECE);
        answer.body = Body::Paced { content: content.into(), piece, pause_ms: u64::from(*pause_ms), ending };
    }
    answer
}

/// The `kind` of a fault as it is written in JSON.
fn kind(effect: &Effect) -> String {
    let value = serde_json::to_value(effect).unwrap_or_default();
    value.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}
