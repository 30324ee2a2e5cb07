//! A model of ROS as a fleet sees it: what the account may call in a second, when nothing works, and how soon a
//! scheduler that knows all hosts would be done with so many calls.

/// What goes wrong for a while.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    /// Nothing but what the account's limit does.
    None,
    /// Until this time, in milliseconds, each call is answered by HTTP 503.
    Errors(i64),
    /// Until this time no call is answered at all.
    Silence(i64),
}

impl Trouble {
    pub(crate) fn ends(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Errors(until) | Self::Silence(until) => until,
        }
    }
}

/// What became of one call.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Reply {
    Served,
    Throttled,
    Error,
    Silence,
}

/// All calls of an account share one bucket, that holds what a second allows, as in the sandbox. A refused call takes nothing from it.
pub(crate) struct Account {
    rate: f64,
    left: f64,
    since: i64,
    trouble: Trouble,
    pub(crate) served: u64,
    pub(crate) throttled: u64,
}

impl Account {
    pub(crate) fn new(rate: u32, trouble: Trouble) -> Self {
        Self { rate: f64::from(rate), left: f64::from(rate), since: 0, trouble, served: 0, throttled: 0 }
    }

    pub(crate) fn call(&mut self, now: i64) -> Reply {
        match self.trouble {
            Trouble::Errors(until) if now < until => return Reply::Error,
            Trouble::Silence(until) if now < until => return Reply::Silence,
            _ => {}
        }
        self.left = self.rate.min((now - self.since) as f64 / 1000.0 * self.rate + self.left);
        self.since = now;
        if self.left < 1.0 {
            self.throttled += 1;
            return Reply::Throttled;
        }
        self.left -= 1.0;
        self.served += 1;
        Reply::Served
    }
}

/// When the last of these agents, ready at these times, would be acknowledged if each call were made exactly when there is room for it: `calls` for
/// each agent, none wasted, none for anything else, and each answered at once.
pub(crate) fn least(ready: &[i64], calls: u32, rate: u32, trouble: Trouble) -> i64 {
    let mut ready = ready.to_vec();
    ready.sort_unstable();
    let each = f64::from(calls) * 1000.0 / f64::from(rate);
    let (mut taken_until, mut last) = (0.0_f64, 0.0_f64);
    for at in ready {
        let at = at.max(trouble.ends()) as f64;
        taken_until = taken_until.max(at) + each;
        // A full bucket lets calls be made a second ahead.
        last = last.max(at).max(taken_until - 1000.0);
    }
    last.ceil() as i64
}
