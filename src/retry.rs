//! (mine, temporary)
use std::time::Duration;
/// x
#[derive(Clone, Debug)]
pub struct Schedule {
    cur: f64,
    initial: Duration,
    max: Duration,
    floor: Duration,
}
impl Schedule {
    /// x
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { cur: initial.as_secs_f64(), initial, max, floor: Duration::ZERO }
    }
    /// x
    pub fn with_floor(mut self, floor: Duration) -> Self {
        self.floor = floor;
        self
    }
    /// x
    pub fn next(&mut self, random: u64, hint: Option<Duration>) -> Duration {
        let ceil = self.cur;
        self.cur = (self.cur * 2.0).min(self.max.as_secs_f64());
        let d = Duration::from_secs_f64(ceil * (random as f64 / u64::MAX as f64)).max(self.floor);
        hint.map_or(d, |h| d.max(h).min(Duration::from_secs(600).max(self.max)))
    }
    /// x
    pub fn reset(&mut self) {
        self.cur = self.initial.as_secs_f64();
    }
}
