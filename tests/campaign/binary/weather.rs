//! What goes on around the agent for a while, each by a script: so long after the act before, this act.

use super::case::Stage;
use super::family::Family;
use super::road::{self, Weather};
use super::room::Room;
use ros_sandbox::{Effect, Fault, Sandbox, When};
use ros_signal_agent::retry::Random;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
/// In hours. The sandbox does not go further than ten years.
const NINE_YEARS: u64 = 9 * 8766;
const ROLE: &str = "meta-data/ram/security-credentials";

pub(super) enum Act {
    Road(Weather),
    Fault(Fault),
    /// The clock of ROS, less that of the host, in seconds.
    Skew(i64),
    Role(bool),
    Expire,
    Rotate,
    DiskFull(bool),
    WriteProtect(bool),
    NamesResolve,
}

/// What acts act on.
pub(super) struct Hands {
    pub(super) sandbox: Sandbox,
    pub(super) road: road::Hand,
    pub(super) room: Option<Arc<Mutex<Room>>>,
    pub(super) hosts: PathBuf,
}

pub(super) struct Script(Vec<(Duration, Act)>);

impl Script {
    pub(super) async fn pass(self, hands: Hands) {
        for (after, act) in self.0 {
            tokio::time::sleep(after).await;
            hands.perform(act);
        }
    }
}

impl Hands {
    pub(super) fn perform(&self, act: Act) {
        let room = || self.room.as_ref().unwrap().lock().unwrap();
        match act {
            Act::Road(weather) => self.road.set(weather),
            Act::Fault(fault) => {
                self.sandbox.add_fault(fault).unwrap();
            }
            Act::Skew(seconds) => self.sandbox.set_skew_seconds(seconds),
            Act::Role(true) => self.sandbox.set_metadata(ROLE, "SandboxRole").unwrap(),
            Act::Role(false) => {
                self.sandbox.remove_metadata(ROLE);
            }
            Act::Expire => self.sandbox.expire_credentials(),
            Act::Rotate => self.sandbox.rotate_credentials(),
            Act::DiskFull(full) => room().fill(full).unwrap(),
            Act::WriteProtect(on) => room().write_protect(on).unwrap(),
            Act::NamesResolve => std::fs::write(&self.hosts, "127.0.0.1 localhost\n").unwrap(),
        }
    }
}

/// What these families bring, and whether the disk is well in the end. What must be so before the agent starts is so when this returns.
pub(super) fn of(families: &[Family], stage: &mut Stage) -> (Vec<Script>, bool) {
    let mut heals = true;
    let mut scripts = Vec::new();
    for family in families {
        let random = &mut stage.random;
        let script = match family {
            Family::DiskFull => {
                heals = stage.random_id || !random.draw().is_multiple_of(3);
                let begin = (random.up_to(600 * MS), Act::DiskFull(true));
                let end = (300 * MS + random.up_to(2500 * MS), Act::DiskFull(false));
                if heals { vec![begin, end] } else { vec![begin] }
            }
            Family::ReadOnly => {
                heals = stage.random_id || !random.draw().is_multiple_of(3);
                let end = (300 * MS + random.up_to(2500 * MS), Act::WriteProtect(false));
                stage.hands().perform(Act::WriteProtect(true));
                if heals { vec![end] } else { Vec::new() }
            }
            Family::Clock => clock(random),
            Family::Metadata => metadata(random),
            Family::Credentials => credentials(random),
            Family::Names => vec![(800 * MS + random.up_to(3000 * MS), Act::NamesResolve)],
            Family::HalfOpen => on_the_road(Weather::HalfOpen, random),
            Family::Refused => on_the_road(Weather::Refused, random),
            Family::Portal => portal(random),
            Family::Bodies => bodies(random),
            Family::Service => service(random),
            _ => Vec::new(),
        };
        scripts.push(Script(script));
    }
    (scripts, heals)
}

fn on_the_road(weather: Weather, random: &mut Random) -> Vec<(Duration, Act)> {
    let begin = (random.up_to(600 * MS), Act::Road(weather));
    vec![begin, (800 * MS + random.up_to(2500 * MS), Act::Road(Weather::Clear))]
}

/// Hours or years, ahead or behind. A time before 2020 is one that no service of Alibaba Cloud can tell, and is not believed.
fn jump(random: &mut Random) -> i64 {
    let since_2021 = u64::try_from(ros_signal_agent::clock::Moment::now().wall_ms / 1000).unwrap().saturating_sub(1_609_459_200);
    let ahead = random.draw().is_multiple_of(2);
    let furthest = if ahead { NINE_YEARS } else { since_2021 / 3600 };
    let hours = random.draw() % if random.draw().is_multiple_of(2) { 48 } else { furthest };
    let seconds = i64::try_from(hours * 3600 + random.draw() % 3600).unwrap();
    if ahead { seconds } else { -seconds }
}

fn clock(random: &mut Random) -> Vec<(Duration, Act)> {
    let mut script = vec![(Duration::ZERO, Act::Skew(jump(random)))];
    for _ in 0..random.draw() % 3 {
        script.push((random.up_to(900 * MS), Act::Skew(jump(random))));
    }
    script
}

fn metadata(random: &mut Random) -> Vec<(Duration, Act)> {
    let mut script = Vec::new();
    for turn in 0..=random.draw() % 4 {
        let effect = match random.draw() % 6 {
            0 => Effect::Refuse,
            1 => Effect::reset(When::Before),
            2 => Effect::http(500, ""),
            3 => Effect::http(200, "<html><body>Welcome</body></html>"),
            4 => Effect::http(404, "<html><body>404</body></html>"),
            _ => Effect::stall(When::Before, Some(1.0)),
        };
        let seconds = 0.1 + random.up_to(900 * MS).as_secs_f64();
        // Who this host is, it asks at once.
        let at_once = turn == 0 && !random.draw().is_multiple_of(4);
        let from = if at_once { Duration::ZERO } else { random.up_to(700 * MS) };
        script.push((from, Act::Fault(Fault::new(effect).metadata("/latest/").seconds(seconds))));
    }
    script
}

fn credentials(random: &mut Random) -> Vec<(Duration, Act)> {
    let on_signal = |effect| Act::Fault(Fault::new(effect).action("SignalResource").times(1));
    match random.draw() % 5 {
        0 => vec![(random.up_to(1500 * MS), Act::Expire)],
        1 => vec![(Duration::ZERO, on_signal(Effect::ExpireCredentials))],
        2 => vec![(Duration::ZERO, on_signal(Effect::reset(When::After))), (random.up_to(1500 * MS), Act::Expire)],
        3 => vec![(Duration::ZERO, Act::Role(false)), (random.up_to(2500 * MS), Act::Role(true))],
        _ => vec![
            (random.up_to(1000 * MS), Act::Rotate),
            (Duration::ZERO, on_signal(Effect::error(500, "InternalError"))),
            (random.up_to(700 * MS), Act::Expire),
        ],
    }
}

fn portal(random: &mut Random) -> Vec<(Duration, Act)> {
    match random.draw() % 3 {
        0 => on_the_road(Weather::Portal, random),
        1 => on_the_road(Weather::PortalThatSpeaksJson, random),
        // In place of an answer, when all has been done.
        _ => {
            let Effect::Http { status, headers, body, piece, pause_ms, cut_after, endless, .. } = Effect::http(200, "<html></html>") else {
                return Vec::new();
            };
            let page = Effect::Http { when: When::After, status, headers, body, piece, pause_ms, cut_after, endless };
            vec![(Duration::ZERO, Act::Fault(Fault::new(page).action("SignalResource").times(1 + lot(random, 2))))]
        }
    }
}

fn bodies(random: &mut Random) -> Vec<(Duration, Act)> {
    let when = if random.draw().is_multiple_of(2) { When::Before } else { When::After };
    let body = "{\"RequestId\": \"B288A0BE-D927-4888-B0F7-B35EF84B6E6F\", \"padding\": \"0123456789\"}".to_owned();
    let json = vec![("content-type".to_owned(), "application/json".to_owned())];
    let http = |status, piece, pause_ms, cut_after, endless| {
        let effect = Effect::Http { when, status, headers: json.clone(), body: body.clone(), piece, pause_ms, cut_after, endless };
        Act::Fault(Fault::new(effect).action("SignalResource").times(1))
    };
    match random.draw() % 6 {
        0 => vec![(Duration::ZERO, http(503, Some(1), 30, None, false))],
        1 => vec![(Duration::ZERO, http(500, None, 0, None, true))],
        2 => vec![(Duration::ZERO, http(503, Some(7), 1, None, true))],
        3 => vec![(Duration::ZERO, http(200, None, 0, Some(lot(random, 40)), false))],
        4 => on_the_road(Weather::Slow(1 + u64::from(lot(random, 8))), random),
        _ => on_the_road(Weather::Endless, random),
    }
}

fn service(random: &mut Random) -> Vec<(Duration, Act)> {
    let mut script = Vec::new();
    for _ in 0..=random.draw() % 2 {
        let effect = match random.draw() % 7 {
            0 => Effect::reset(When::After),
            1 => Effect::reset(When::Before),
            2 => Effect::error(500, "InternalError"),
            3 => Effect::error(503, "ServiceUnavailable"),
            4 => Effect::throttle(Some(500)),
            5 => Effect::throttle(None),
            _ => Effect::stall(When::After, Some(2.0)),
        };
        script.push((Duration::ZERO, Act::Fault(Fault::new(effect).action("SignalResource").times(1))));
    }
    script
}

fn lot(random: &mut Random, below: u32) -> u32 {
    u32::try_from(random.draw() % u64::from(below)).unwrap()
}
