//! Ranges of numbers in the syntax of Nagios plug-ins, and what a number outside of them means. Pure.
//!
//! The rule is that of the Monitoring Plugins Development Guidelines, "Threshold and Ranges": `10` alerts below 0 and above 10, `10:`
//! below 10, `~:10` above 10, `10:20` outside of 10 to 20, `@10:20` inside. The guidelines contradict each other on the ends: here the
//! ends of a plain range are fine, and those of an `@` range alert.

use super::Health;
use std::fmt;
use std::str::FromStr;

/// Where a number alerts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Alert inside the range (`@`), ends included, instead of outside.
    inside: bool,
    /// Negative infinity for `~`.
    low: f64,
    /// Infinity where nothing is written.
    high: f64,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RangeError(&'static str);

impl Range {
    /// Whether `value` alerts. What is not a number alerts always.
    pub fn alerts(&self, value: f64) -> bool {
        let within = self.low <= value && value <= self.high;
        value.is_nan() || within == self.inside
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (inside, ends) = text.strip_prefix('@').map_or((false, text), |rest| (true, rest));
        let (low, high) = ends.split_once(':').unwrap_or(("0", ends));
        if ends.is_empty() || ends == ":" {
            return Err(RangeError("has no end"));
        }
        let low = match low {
            "~" => f64::NEG_INFINITY,
            "" => 0.0,
            low => number(low)?,
        };
        let high = if high.is_empty() { f64::INFINITY } else { number(high)? };
        if low > high { Err(RangeError("begins above its end")) } else { Ok(Self { inside, low, high }) }
    }
}

fn number(text: &str) -> Result<f64, RangeError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+'));
    let number = text.parse().ok().filter(|number: &f64| plain && number.is_finite());
    number.ok_or(RangeError("has an end that is not a plain number"))
}

/// In words: when it alerts.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(|end| end.to_string()))
    }
}

impl Range {
    /// The part of it that `value` is in: `10:20` is `10:` for 5.
    fn side(self, value: f64) -> Self {
        match () {
            () if self.inside => self,
            () if value < self.low => Self { high: f64::INFINITY, ..self },
            () if value > self.high => Self { low: f64::NEG_INFINITY, ..self },
            () => self,
        }
    }

    /// Whether this alerts wherever `other` does. Both change only at their ends, so these and what is beside them tell.
    fn covers(&self, other: &Self) -> bool {
        let ends = [self.low, self.high, other.low, other.high].into_iter().filter(|end| end.is_finite());
        let beside = ends.flat_map(|end| [end.next_down(), end, end.next_up()]).chain([f64::MIN, f64::MAX]);
        beside.into_iter().all(|value| self.alerts(value) || !other.alerts(value))
    }

    /// In words, its ends as `show` writes them.
    fn words(&self, show: impl Fn(f64) -> String) -> String {
        let (low, high) = (show(self.low), show(self.high));
        match (self.inside, self.low.is_finite(), self.high.is_finite()) {
            (true, true, true) => format!("from {low} to {high}"),
            (true, true, false) => format!("{low} or above"),
            (true, false, true) => format!("{high} or below"),
            (true, false, false) => "always".to_owned(),
            (false, true, true) => format!("below {low} or above {high}"),
            (false, true, false) => format!("below {low}"),
            (false, false, true) => format!("above {high}"),
            (false, false, false) => "never".to_owned(),
        }
    }
}

/// `warn` and `crit` of a numeric check.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Where a number is a warning.
    pub warn: Option<Range>,
    /// Where it is critical, which comes first.
    pub crit: Option<Range>,
}

impl Thresholds {
    /// What `value` means.
    pub fn judge(&self, value: f64) -> Health {
        let alerts = |range: Option<Range>| range.is_some_and(|range| range.alerts(value));
        match (alerts(self.crit), alerts(self.warn)) {
            (true, _) => Health::Critical,
            (false, true) => Health::Warning,
            (false, false) => Health::Passing,
        }
    }

    /// The rule that `value` broke, such as `critical above 10`; none: it broke none.
    pub fn broken(&self, value: f64) -> Option<String> {
        self.broken_in(value, |end| end.to_string())
    }

    /// The same with the ends of the range as `show` writes them: `critical below 512 MiB`.
    pub fn broken_in(&self, value: f64, show: impl Fn(f64) -> String) -> Option<String> {
        let broken = |range: Option<Range>, word: &str| {
            let range = range.filter(|range| range.alerts(value))?;
            Some(format!("{word} {}", range.side(value).words(&show)))
        };
        broken(self.crit, "critical").or_else(|| broken(self.warn, "warning"))
    }

    /// Both rules in words, such as `warning below 20, critical below 10`, their ends as `show` writes them; none: nothing alerts.
    pub fn words(&self, show: impl Fn(f64) -> String) -> Option<String> {
        let rule = |range: Option<Range>, word: &str| Some(format!("{word} {}", range?.words(&show)));
        let rules: Vec<_> = [rule(self.warn, "warning"), rule(self.crit, "critical")].into_iter().flatten().collect();
        (!rules.is_empty()).then(|| rules.join(", "))
    }

    /// `warn` alerts somewhere, but `crit`, which comes first, alerts at all these places too.
    pub fn warn_never_shows(&self) -> bool {
        let never: Range = Range { inside: false, low: f64::NEG_INFINITY, high: f64::INFINITY };
        self.warn.zip(self.crit).is_some_and(|(warn, crit)| crit.covers(&warn) && !never.covers(&warn))
    }

    /// Whether nothing alerts.
    pub fn is_empty(&self) -> bool {
        self.warn.is_none() && self.crit.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_guidelines_alert_where_they_say() {
        // Text, values that alert, values that do not.
        let cases: [(&str, &[f64], &[f64]); 8] = [
            ("10", &[-0.1, 10.1], &[0.0, 10.0]),
            ("10:", &[9.9], &[10.0, 1e9]),
            ("~:10", &[10.1], &[-1e9, 10.0]),
            ("10:20", &[9.9, 20.1], &[10.0, 20.0]),
            ("@10:20", &[10.0, 20.0], &[9.9, 20.1]),
            (":5", &[-1.0, 6.0], &[0.0, 5.0]),
            ("-5:-1.5", &[-6.0, 0.0], &[-5.0, -1.5]),
            ("@~:0", &[-1.0, 0.0], &[0.1]),
        ];
        for (text, alert, fine) in cases {
            let range: Range = text.parse().unwrap();
            assert!(alert.iter().all(|value| range.alerts(*value)), "{text}");
            assert!(!fine.iter().any(|value| range.alerts(*value)), "{text}");
            assert!(range.alerts(f64::NAN), "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", ":", "@", "@:", "a", "1:b", "20:10", "1:2:3", "inf", "NaN", "1e3", "~", "10:~", " 1"] {
            assert!(text.parse::<Range>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn critical_comes_before_warning_and_the_rule_is_said_in_words() {
        let thresholds = Thresholds { warn: Some("80".parse().unwrap()), crit: Some("90".parse().unwrap()) };
        assert_eq!([50.0, 85.0, 95.0].map(|value| thresholds.judge(value)), [Health::Passing, Health::Warning, Health::Critical]);
        assert_eq!(thresholds.broken(85.0).unwrap(), "warning above 80");
        assert_eq!(thresholds.broken(95.0).unwrap(), "critical above 90");
        assert_eq!(thresholds.broken(50.0), None);
        assert_eq!(thresholds.broken_in(95.0, |end| format!("{end}%")).unwrap(), "critical above 90%");
        assert_eq!(thresholds.words(|end| end.to_string()).unwrap(), "warning below 0 or above 80, critical below 0 or above 90");
        assert_eq!(Thresholds { warn: None, ..thresholds }.words(|end| end.to_string()).unwrap(), "critical below 0 or above 90");
        assert_eq!(Thresholds::default().words(|end| end.to_string()), None);
        assert!(Thresholds::default().is_empty() && !thresholds.is_empty());
    }

    #[test]
    fn only_the_side_of_a_range_that_was_broken_is_said() {
        let broken = |range: &str, value| Thresholds { warn: None, crit: Some(range.parse().unwrap()) }.broken(value).unwrap();
        assert_eq!([broken("10:20", 5.0), broken("10:20", 25.0)], ["critical below 10", "critical above 20"]);
        assert_eq!([broken("@10:20", 15.0), broken("10:20", f64::NAN)], ["critical from 10 to 20", "critical below 10 or above 20"]);
    }

    #[test]
    fn a_warning_that_critical_covers_never_shows() {
        let hidden =
            |warn: &str, crit: &str| Thresholds { warn: Some(warn.parse().unwrap()), crit: Some(crit.parse().unwrap()) }.warn_never_shows();
        for (warn, crit) in [("10", "5"), ("3:", "14:"), ("5", "5"), ("@3:4", "10:"), ("10:20", "12:18"), ("@3:4", "@3:4")] {
            assert!(hidden(warn, crit), "{warn} {crit}");
        }
        for (warn, crit) in [("5", "10"), ("14:", "3:"), ("10:", "~:20"), ("@3:5", "@3:4"), ("~:", "1:"), ("@3:4", "~:3")] {
            assert!(!hidden(warn, crit), "{warn} {crit}");
        }
    }
}
