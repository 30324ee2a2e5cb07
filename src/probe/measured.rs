//! Numbers that were measured: judged by `warn` and `crit`, and written in units that people read.

use crate::check::{Observation, Thresholds};

/// What `value` means, in the words of `said` and the rule that it broke, whose ends `show` writes.
pub(super) fn judged(thresholds: &Thresholds, value: f64, said: String, show: impl Fn(f64) -> String) -> Observation {
    let message = match thresholds.broken_in(value, show) {
        Some(rule) => format!("{said}, {rule}"),
        None => said,
    };
    Observation::new(thresholds.judge(value), message)
}

/// Two digits after the point at most: `3.2`, `0.05`, `12`.
pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// `12.5%`.
pub(super) fn percent(value: f64) -> String {
    format!("{}%", plain(value))
}

/// `value` bytes in the units of IEC 80000-13: `512 MiB`, `1.5 GiB`.
pub(crate) fn bytes(value: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut left = value;
    for unit in UNITS {
        // Rounded to 1024 it is one of the next unit.
        if left.abs() < 1023.995 || unit == "PiB" {
            return format!("{} {unit}", plain(left));
        }
        left /= 1024.0;
    }
    format!("{value} B")
}

/// `part` of `whole` in percent; nothing of nothing is 0.
pub(super) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole * 100.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Health;

    #[test]
    fn numbers_are_short_and_bytes_have_the_unit_that_fits() {
        assert_eq!([3.2, 0.05, 12.0, 0.004, -0.001, 1e9].map(plain), ["3.2", "0.05", "12", "0", "0", "1000000000"]);
        let sizes = [0.0, 1023.0, 1024.0, 1536.0 * 1024.0, 536_870_912.0, 1_073_741_823.0, 2f64.powi(70)];
        assert_eq!(sizes.map(bytes), ["0 B", "1023 B", "1 KiB", "1.5 MiB", "512 MiB", "1 GiB", "1048576 PiB"]);
        assert_eq!([share(1.0, 3.0), share(1.0, 0.0)].map(percent), ["33.33%", "0%"]);
    }

    #[test]
    fn what_broke_a_rule_says_which_one() {
        let thresholds = Thresholds { warn: None, crit: Some("536870912:".parse().unwrap()) };
        let seen = judged(&thresholds, 1024.0, "1 KiB is free".to_owned(), bytes);
        assert_eq!((seen.health, seen.message.as_str()), (Health::Critical, "1 KiB is free, critical below 512 MiB"));
        assert_eq!(judged(&thresholds, 1e9, "much is free".to_owned(), bytes).message, "much is free");
    }
}
