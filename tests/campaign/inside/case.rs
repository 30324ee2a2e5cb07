//! What a case is: a host of some kind, and faults that strike it at moments. Every number names one case, always the same.
//!
//! First comes the list of single faults: each at each moment of an undisturbed run. Numbers beyond its end are cases of one to four faults
//! at random moments, drawn from the number.

use super::disk::{Condition, Fault as Call};
use super::network::{Cut, Side, Weather};
use ros_signal_agent::retry::Random;
use rustix::io::Errno;
use std::fmt;

pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const YEAR: i64 = 365 * 24 * HOUR;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// kill -9; the agent is started again.
    Kill,
    /// The power is lost; the bits say what of the unsynced is found afterwards, none: nothing of it.
    PowerLoss(Option<u64>),
    /// SIGSTOP, and SIGCONT after so many milliseconds.
    Stop(i64),
    /// The host is suspended.
    Suspend(i64),
    /// The disk is so, for so many milliseconds.
    Disk(Condition, i64),
    /// One call of the disk goes wrong.
    Call(Call),
    /// The disk answers nothing for so many milliseconds.
    Hang(i64),
    /// The system clock is set by so many milliseconds.
    Clock(i64),
    /// The metadata service is gone for so many milliseconds.
    Metadata(i64),
    /// The credentials expire.
    Expire,
    /// Looks are not permitted for so many milliseconds.
    Denied(i64),
    /// The network is so, for so many attempts.
    Weather(Weather, u32),
    /// A connection ends in the middle.
    Cut(Cut),
}

impl Fault {
    /// It ends the process.
    pub(crate) fn ends(&self) -> bool {
        matches!(self, Self::Kill | Self::PowerLoss(_))
    }

    /// As the table calls it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Kill => "kill -9".to_owned(),
            Self::PowerLoss(_) => "power loss".to_owned(),
            Self::Stop(_) => "SIGSTOP for minutes or hours".to_owned(),
            Self::Suspend(_) => "the host is suspended".to_owned(),
            Self::Disk(Condition::Full, _) => "disk full".to_owned(),
            Self::Disk(Condition::ReadOnly, _) => "disk read-only".to_owned(),
            Self::Disk(Condition::Broken(_), _) => "EIO for minutes".to_owned(),
            Self::Call(Call::Short) => "a short write".to_owned(),
            Self::Call(_) => "one call of the disk fails".to_owned(),
            Self::Hang(_) => "the disk hangs".to_owned(),
            Self::Clock(by) if by.abs() > YEAR => "the clock is set by years".to_owned(),
            Self::Clock(_) => "the clock is set by hours".to_owned(),
            Self::Metadata(_) => "metadata vanishes and comes back".to_owned(),
            Self::Expire => "credentials expire".to_owned(),
            Self::Denied(_) => "looks are denied".to_owned(),
            Self::Weather(weather, _) => weather.name().to_owned(),
            Self::Cut(cut) => cut.name().to_owned(),
        }
    }
}

/// When it strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    /// Before the core takes the input with this number.
    Turn(usize),
    /// At the call of the disk with this number: before or after it, or when a write has taken so many bytes. Faults that are not of the
    /// disk and do not end the process strike when the write is over that it is part of.
    Call(usize, Edge),
    /// When the core has decided, and nothing of that is on the disk.
    Decided,
    /// When the signal with this number has come so far.
    Wire(u32, Side, usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Edge {
    Before,
    After,
    At(usize),
}

impl Moment {
    /// As the table calls it.
    pub(crate) fn family(self) -> &'static str {
        match self {
            Self::Turn(_) => "turns of the core",
            Self::Decided => "a decision, before it is durable",
            Self::Call(_, Edge::At(_)) => "bytes of a write",
            Self::Call(..) => "calls of the disk",
            Self::Wire(_, Side::Request, _) => "bytes of a request",
            Self::Wire(_, Side::Answer, _) => "bytes of an answer",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Strike {
    pub(crate) when: Moment,
    pub(crate) what: Fault,
}

/// The truth about the application.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Truth {
    /// Healthy from this time on.
    From(i64),
    Never,
    /// It says that it will never be healthy.
    Terminal,
    /// Healthy and not, in turns of this length, and for ever from the tenth on.
    Flapping(i64),
}

impl Truth {
    pub(crate) fn holds(self, since_start: i64) -> bool {
        match self {
            Self::From(from) => since_start >= from,
            Self::Never | Self::Terminal => false,
            Self::Flapping(turn) => since_start >= 10 * turn || (since_start / turn) % 2 == 1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Id {
    Derived,
    Random,
    Instance,
}

/// Something that is wrong on purpose, to see that the judge sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Planted {
    Nothing,
    /// Whatever says 200 has acknowledged.
    Believes200,
    /// The disk says that it has synced, and has not.
    LyingDisk,
    /// Checks say what is wished.
    RosyChecks,
    /// The same, of every run of the agent but the first.
    RosyAfterRestart,
    /// Checks say that nothing is well.
    GloomyChecks,
    /// After a failed attempt nobody wakes the core.
    LostTimer,
    /// Records count as durable when they are asked for.
    RecordsUnwritten,
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) number: u64,
    pub(crate) truth: Truth,
    pub(crate) id: Id,
    /// What to do when the ledger cannot be written.
    pub(crate) hold: bool,
    /// The stack may be looked at.
    pub(crate) looks: bool,
    /// The weather strikes looks too.
    pub(crate) looks_suffer: bool,
    pub(crate) role: bool,
    pub(crate) old_signature: bool,
    pub(crate) replays_errors: bool,
    pub(crate) refuses_late: bool,
    /// The signal judges a composite over both checks.
    pub(crate) composite: bool,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) planted: Planted,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SEED={}: truth {:?}, id {:?}", self.number, self.truth, self.id)?;
        let flags = [
            (self.hold, "holds on an unwritable ledger"),
            (!self.looks, "may not look"),
            (self.looks_suffer, "looks suffer too"),
            (self.role, "RAM role"),
            (self.old_signature, "HMAC-SHA1"),
            (self.replays_errors, "tokens replay errors"),
            (self.refuses_late, "late signals are refused"),
            (self.composite, "a composite"),
        ];
        for (_, word) in flags.iter().filter(|(is, _)| *is) {
            write!(f, ", {word}")?;
        }
        for strike in &self.strikes {
            write!(f, "\n  {:?} at {:?}", strike.what, strike.when)?;
        }
        Ok(())
    }
}

impl Case {
    /// A host drawn from `number`, without faults.
    pub(crate) fn quiet(number: u64) -> Self {
        let mut random = Random::new(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x00C0_FFEE);
        let mut one_of = |count: u64| random.draw() % count;
        let truth = match one_of(16) {
            0 => Truth::Never,
            1 => Truth::Terminal,
            2 => Truth::Flapping(3 * SECOND),
            3 => Truth::Flapping(7 * SECOND),
            4 => Truth::From(0),
            _ => Truth::From(i64::try_from(one_of(8_000)).unwrap()),
        };
        let id = match one_of(5) {
            0 | 1 => Id::Random,
            2 => Id::Instance,
            _ => Id::Derived,
        };
        Self {
            number,
            truth,
            id,
            hold: one_of(4) == 0,
            looks: one_of(2) == 0,
            looks_suffer: one_of(3) == 0,
            role: one_of(8) == 0,
            old_signature: one_of(8) == 0,
            replays_errors: one_of(4) == 0,
            refuses_late: one_of(4) == 0,
            composite: one_of(4) == 0,
            strikes: Vec::new(),
            planted: Planted::Nothing,
        }
    }

    /// A connection goes dead in it, or its agent sleeps while it waits for an answer: an attempt ends by its time limit.
    pub(crate) fn goes_dead(&self) -> bool {
        self.strikes.iter().any(|strike| match strike.what {
            Fault::Weather(weather, _) => matches!(weather, Weather::HalfOpen | Weather::TooSlow),
            Fault::Cut(cut) => cut == Cut::Stall,
            Fault::Stop(_) | Fault::Suspend(_) => matches!(strike.when, Moment::Wire(..)),
            _ => false,
        })
    }

    fn struck(number: u64, strike: Strike) -> Self {
        let case = Self::quiet(number);
        let role = case.role || strike.what == Fault::Expire;
        let case = match strike.when {
            // Calls are counted in a run like the one that the list was made from.
            Moment::Call(..) => {
                let id = if case.hold { Id::Random } else { Id::Derived };
                Self { truth: Truth::From(2_000), id, looks: true, composite: false, ..case }
            }
            _ => case,
        };
        Self { strikes: vec![strike], role, ..case }
    }
}

/// What an undisturbed run is made of: where faults can strike.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Course {
    pub(crate) turns: usize,
    /// Calls of the disk; for a write with its bytes.
    pub(crate) calls: Vec<(&'static str, usize)>,
    /// The last call of each use of the disk: opening the ledger, and each write.
    pub(crate) uses: Vec<usize>,
    pub(crate) request: usize,
    pub(crate) answer: usize,
}

/// What can happen to the host at any moment.
fn host_faults(random: u64) -> Vec<Fault> {
    vec![
        Fault::Kill,
        Fault::PowerLoss(None),
        Fault::PowerLoss(Some(random)),
        Fault::Stop(2 * MINUTE),
        Fault::Stop(3 * HOUR),
        Fault::Suspend(HOUR),
        Fault::Disk(Condition::Full, 5 * MINUTE),
        Fault::Disk(Condition::ReadOnly, 5 * MINUTE),
        Fault::Disk(Condition::Broken(Errno::IO), 5 * MINUTE),
        Fault::Hang(5 * MINUTE),
        Fault::Clock(3 * HOUR),
        Fault::Clock(-3 * HOUR),
        Fault::Clock(9 * YEAR),
        Fault::Clock(-9 * YEAR),
        Fault::Metadata(10 * MINUTE),
        Fault::Expire,
        Fault::Denied(10 * MINUTE),
    ]
}

fn call_faults(call: &str) -> Vec<Fault> {
    let mut faults = vec![Call::Error(Errno::IO), Call::ErrorAfter(Errno::IO), Call::Error(Errno::NOSPC), Call::Error(Errno::ROFS)];
    if call == "write" {
        faults.extend([Call::Short, Call::Error(Errno::INTR)]);
    }
    faults.into_iter().map(Fault::Call).collect()
}

/// Strikes at any call, not only when the disk is left alone again.
fn is_of_calls(fault: &Fault) -> bool {
    fault.ends() || matches!(fault, Fault::Disk(..))
}

/// All cases that there are.
#[derive(Debug)]
pub(crate) struct Cases {
    list: Vec<Strike>,
    course: Course,
}

impl Cases {
    pub(crate) fn of(course: Course) -> Self {
        let mut list = Vec::new();
        let mut add = |when, what| list.push(Strike { when, what });
        for weather in Weather::ALL {
            for (turn, times) in [(0, 1), (0, 4), (course.turns / 2, 1), (course.turns / 2, 4)] {
                // Hosts of several kinds.
                (0..4).for_each(|_| add(Moment::Turn(turn), Fault::Weather(weather, times)));
            }
        }
        for turn in 0..course.turns {
            for fault in host_faults(turn as u64 * 7_919) {
                add(Moment::Turn(turn), fault);
            }
        }
        for fault in host_faults(31) {
            // Hosts of several kinds.
            (0..8).for_each(|_| add(Moment::Decided, fault));
        }
        for (number, (name, bytes)) in course.calls.iter().enumerate() {
            // After a call is before the next one, but for the last of a use.
            let is_last = course.uses.contains(&number);
            for fault in host_faults(number as u64 * 104_729) {
                if is_of_calls(&fault) {
                    add(Moment::Call(number, Edge::Before), fault);
                }
                if is_last && !matches!(fault, Fault::Disk(..)) {
                    add(Moment::Call(number, Edge::After), fault);
                }
            }
            for fault in call_faults(name) {
                add(Moment::Call(number, Edge::Before), fault);
            }
            for byte in (0..*bytes).step_by(5) {
                let random = Random::new(byte as u64).draw();
                for fault in [Fault::Kill, Fault::PowerLoss(None), Fault::PowerLoss(Some(random))] {
                    add(Moment::Call(number, Edge::At(byte)), fault);
                }
            }
        }
        for (side, length) in [(Side::Request, course.request), (Side::Answer, course.answer)] {
            for byte in 0..=length {
                let when = Moment::Wire(0, side, byte);
                for cut in Cut::ALL {
                    add(when, Fault::Cut(cut));
                }
                for fault in [Fault::Kill, Fault::PowerLoss(None), Fault::PowerLoss(Some(Random::new(byte as u64).draw()))] {
                    add(when, fault);
                }
                if byte % 16 == 0 || byte == length {
                    host_faults(0).into_iter().skip(3).for_each(|fault| add(when, fault));
                }
            }
        }
        Self { list, course }
    }

    /// How many single faults at single moments there are.
    pub(crate) fn singles(&self) -> u64 {
        self.list.len() as u64
    }

    /// The case with this number.
    pub(crate) fn case(&self, number: u64) -> Case {
        let single = usize::try_from(number).ok().and_then(|number| self.list.get(number));
        match single {
            Some(strike) => Case::struck(number, *strike),
            None => self.several(number),
        }
    }

    /// How many of these differ in more than their number.
    pub(crate) fn different(&self, numbers: &[u64]) -> usize {
        let told = numbers.iter().map(|number| format!("{:?}", Case { number: 0, ..self.case(*number) }));
        told.collect::<std::collections::BTreeSet<_>>().len()
    }

    fn several(&self, number: u64) -> Case {
        let mut random = Random::new(number.wrapping_mul(0xD134_2543_DE82_EF95));
        let mut case = Case::quiet(number);
        for _ in 0..=random.draw() % 4 {
            let strike = self.strike(&mut random);
            case.role |= strike.what == Fault::Expire;
            case.strikes.push(strike);
        }
        case
    }

    fn strike(&self, random: &mut Random) -> Strike {
        let mut below = |count: usize| usize::try_from(random.draw() % (count.max(1) as u64)).unwrap();
        let any = below(usize::MAX) as u64;
        let host = host_faults(any)[below(17)];
        let weather = Fault::Weather(Weather::ALL[below(Weather::ALL.len())], 1 + u32::try_from(below(6)).unwrap());
        match below(9) {
            8 => Strike { when: Moment::Decided, what: host },
            0 | 1 => Strike { when: Moment::Turn(below(2 * self.course.turns)), what: host },
            2 | 3 => Strike { when: Moment::Turn(below(self.course.turns)), what: weather },
            4 | 5 => {
                let number = below(2 * self.course.calls.len());
                let (name, bytes) = self.course.calls[number % self.course.calls.len()];
                let faults = call_faults(name);
                match below(4) {
                    0 => Strike { when: Moment::Call(number, Edge::Before), what: faults[below(faults.len())] },
                    1 if bytes > 0 => Strike {
                        when: Moment::Call(number, Edge::At(below(bytes))),
                        what: [Fault::Kill, Fault::PowerLoss(Some(any))][below(2)],
                    },
                    2 => Strike { when: Moment::Call(number, Edge::After), what: [Fault::Kill, Fault::PowerLoss(Some(any))][below(2)] },
                    _ if is_of_calls(&host) => Strike { when: Moment::Call(number, Edge::Before), what: host },
                    _ => Strike { when: Moment::Call(number, Edge::After), what: host },
                }
            }
            _ => {
                let (side, length) = [(Side::Request, self.course.request), (Side::Answer, self.course.answer)][below(2)];
                let when = Moment::Wire(u32::try_from(below(3)).unwrap(), side, below(length + 1));
                let cut = Fault::Cut(Cut::ALL[below(Cut::ALL.len())]);
                Strike { when, what: if below(3) == 0 { cut } else { host } }
            }
        }
    }
}
