//! What is not necessary waits while ROS throttles.
//!
//! All calls of an account share one limit. A signal that is owed must come through; looks that follow the stack, the question what its template says and
//! looks after an acknowledgement can wait. An agent cannot know how many others there are, but it sees for how long calls have been refused: that grows with
//! the number of those who wait. So after a refusal nothing beside the main way is asked for several times as long as that has lasted, half an hour at most; and
//! once such a question is answered again, that is forgotten by three quarters at a time. However long it lasts, one is asked each half hour, and they take turns.

use super::Core;
use crate::clock::BootMs;
use crate::signal::Class;

/// Times as long as it has lasted.
const TIMES: BootMs = 8;

/// It has lasted as long at least.
const LEAST_MS: BootMs = 4_000;

/// The longest pause.
const LONGEST_MS: BootMs = 1_800_000;

/// For how long ROS has throttled this agent, and until when it yields to others.
#[derive(Default)]
pub(super) struct Yielding {
    /// Since the last question beside the main way was answered.
    since: Option<BootMs>,
    lasted: BootMs,
    until: BootMs,
    /// When one was asked last.
    asked: Option<BootMs>,
    /// How many were asked.
    turns: usize,
}

impl Core {
    /// A call of any kind was throttled.
    pub(super) fn yield_to_others(&mut self) {
        let now = self.now();
        let known = self.yielding.lasted;
        let since = *self.yielding.since.get_or_insert(now.saturating_sub(known));
        self.yielding.lasted = now.saturating_sub(since).max(1);
        self.pause();
    }

    /// A question beside the main way is asked: one at a time, as long as there is little room.
    pub(super) fn asks_aside(&mut self) {
        self.yielding.asked = Some(self.now());
        self.yielding.turns = self.yielding.turns.wrapping_add(1);
        if self.yielding.lasted > 0 {
            let gap = LEAST_MS + self.random_ms(LEAST_MS);
            self.yielding.until = self.yielding.until.max(self.now().saturating_add(gap));
        }
    }

    /// A question beside the main way came back, with this class where it failed.
    pub(super) fn judge_pressure(&mut self, failure: Option<Class>) {
        match failure {
            Some(Class::Throttled) => self.yield_to_others(),
            Some(_) => {}
            None => self.was_served(),
        }
    }

    fn was_served(&mut self) {
        // The pause counts as well, once: others may have been refused all the time.
        let lasted = self.yielding.since.take().map_or(self.yielding.lasted, |since| self.now().saturating_sub(since));
        self.yielding.lasted = lasted / 4;
        if self.yielding.lasted < LEAST_MS {
            let Yielding { asked, turns, .. } = self.yielding;
            self.yielding = Yielding { asked, turns, ..Yielding::default() };
        } else {
            self.pause();
        }
    }

    /// Half of it is random.
    fn pause(&mut self) {
        let longest = self.yielding.lasted.max(LEAST_MS).saturating_mul(TIMES).min(LONGEST_MS);
        let pause = longest / 2 + self.random_ms(longest / 2);
        let now = self.now();
        let latest = self.yielding.asked.get_or_insert(now).saturating_add(LONGEST_MS);
        self.yielding.until = self.yielding.until.max(now.saturating_add(pause)).min(latest);
    }

    /// Whether questions beside the main way wait.
    pub(super) fn is_yielding(&self) -> bool {
        self.yielding.until > self.now()
    }

    /// When such a question may be asked that is due at `at`.
    pub(super) fn after_yielding(&self, at: BootMs) -> BootMs {
        at.max(self.yielding.until)
    }
}

/// What is asked beside the main way.
#[derive(Clone, Copy)]
pub(super) enum Aside {
    Template,
    Confirmation,
    Stack,
}

impl Core {
    /// Asks what is due beside the main way. Who was first the last time is last now: where only one question gets through at a time, all come to it.
    pub(super) fn ask_aside(&mut self) {
        let mut asides = [Aside::Template, Aside::Confirmation, Aside::Stack];
        let first = self.yielding.turns % asides.len();
        asides.rotate_left(first);
        for aside in asides {
            match aside {
                Aside::Template => self.learn(),
                Aside::Confirmation => self.look_for_confirmation(),
                Aside::Stack => self.watch(),
            }
        }
    }
}
