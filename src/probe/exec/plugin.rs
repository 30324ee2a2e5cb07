//! What a monitoring plug-in says: a line of text and its performance data. Pure.
//!
//! The format is that of the Monitoring Plugins Development Guidelines ("Plugin Output for Nagios", "Performance data") and of the
//! Nagios plug-in API, which allows several lines:
//!
//! ```text
//! TEXT | PERFDATA
//! LONG TEXT
//! LONG TEXT | PERFDATA
//! PERFDATA
//! ```
//!
//! PERFDATA is a list of `'label'=value[unit];[warn];[crit];[min];[max]`, separated by spaces. Quotes around a label are needed only
//! where it has spaces; a quote inside of it is doubled. `U` stands for a value that could not be had. What does not fit is skipped:
//! the text and the exit code still tell the health. Thresholds are the plug-in's own business and are not read.
//!
//! Times become seconds and sizes become bytes, so that series of different plug-ins can be compared. `KB`, `MB` and so on are powers
//! of 1024, as the plug-ins themselves count. A comma is taken for a decimal point, which plug-ins write in some locales.

use crate::check::{READINGS_LIMIT, Reading};
use crate::probe::text::one_line;

/// What a plug-in said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// The status text on one line; empty if there is none.
    pub(super) text: String,
    /// At most [`READINGS_LIMIT`].
    pub(super) readings: Vec<Reading>,
}

/// Reads the beginning of a plug-in's standard output, which the caller bounds.
pub(super) fn read(said: &str) -> Said {
    let said = said.trim_start();
    let (line, more) = said.split_once('\n').unwrap_or((said, ""));
    let (text, first) = line.split_once('|').unwrap_or((line, ""));
    let (_, later) = more.split_once('|').unwrap_or((more, ""));
    let readings = Perfdata(first).chain(Perfdata(later)).take(READINGS_LIMIT).collect();
    // check_disk ends its text with a semicolon.
    Said { text: one_line(text.trim_end_matches(|end: char| end.is_whitespace() || end == ';').trim_start()), readings }
}

/// The readings in what is left of a list.
struct Perfdata<'a>(&'a str);

impl Iterator for Perfdata<'_> {
    type Item = Reading;

    fn next(&mut self) -> Option<Reading> {
        loop {
            self.0 = self.0.trim_start();
            if self.0.is_empty() {
                return None;
            }
            let labelled = label(self.0);
            // Without a label only a word is skipped: what follows may be sound.
            let value = labelled.as_ref().map_or(self.0, |(_, value)| value);
            let end = value.find(char::is_whitespace).unwrap_or(value.len());
            let (value, rest) = value.split_at(end);
            self.0 = rest;
            if let Some(reading) = labelled.and_then(|(label, _)| reading(label, value)) {
                return Some(reading);
            }
        }
    }
}

/// The label that `list` begins with, and what follows its equals sign.
fn label(list: &str) -> Option<(String, &str)> {
    let Some(mut rest) = list.strip_prefix('\'') else {
        let (label, value) = list.split_once('=')?;
        return (!label.is_empty() && !label.contains(char::is_whitespace)).then(|| (one_line(label), value));
    };
    let mut label = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        label.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => return Some((one_line(label.trim()), after.strip_prefix('=')?)).filter(|(label, _)| !label.is_empty()),
        }
    }
}

/// `value[unit];...` as a reading; none for `U`, and for what is no number.
fn reading(label: String, value: &str) -> Option<Reading> {
    let (value, _thresholds) = value.split_once(';').unwrap_or((value, ""));
    let (number, unit) = value.split_at(number_length(value));
    let number: f64 = number.replace(',', ".").parse().ok()?;
    let is_unit = unit.chars().all(|letter| letter.is_alphabetic() || matches!(letter, '%' | '/' | '°'));
    let (value, unit) = normal(number, unit);
    (is_unit && value.is_finite()).then(|| Reading { label, value, unit: unit.to_owned() })
}

/// Bytes of the number that `value` begins with.
fn number_length(value: &str) -> usize {
    let bytes = value.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|byte| any.contains(byte));
    let mut end = usize::from(is(0, b"+-"));
    end += digits(end);
    if is(end, b".,") {
        end += 1 + digits(end + 1);
    }
    if is(end, b"eE") {
        let exponent = end + 1 + usize::from(is(end + 1, b"+-"));
        match digits(exponent) {
            0 => {}
            some => end = exponent + some,
        }
    }
    end
}

/// Seconds and bytes for their parts and multiples; everything else as it is.
fn normal(value: f64, unit: &str) -> (f64, &str) {
    const K: f64 = 1024.0;
    match unit {
        "ms" => (value / 1e3, "s"),
        // MICRO SIGN and GREEK SMALL LETTER MU.
        "us" | "\u{b5}s" | "\u{3bc}s" => (value / 1e6, "s"),
        "ns" => (value / 1e9, "s"),
        "KB" | "kB" | "KiB" => (value * K, "B"),
        "MB" | "MiB" => (value * K * K, "B"),
        "GB" | "GiB" => (value * K * K * K, "B"),
        "TB" | "TiB" => (value * K * K * K * K, "B"),
        other => (value, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(said: &str) -> Vec<(String, f64, String)> {
        read(said).readings.into_iter().map(|reading| (reading.label, reading.value, reading.unit)).collect()
    }

    fn triple(label: &str, value: f64, unit: &str) -> (String, f64, String) {
        (label.to_owned(), value, unit.to_owned())
    }

    #[test]
    fn the_text_stands_before_the_bar_and_the_numbers_behind_it() {
        let said = "DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n";
        assert_eq!(read(said).text, "DISK OK - free space: / 3326 MB (56%)");
        assert_eq!(readings(said), [triple("/", 2643.0 * 1024.0 * 1024.0, "B")]);
        assert_eq!(read("PING ok\n").text, "PING ok");
        assert_eq!(read("\n \nDISK OK| /=1B").text, "DISK OK");
        assert_eq!(read("| a=1"), Said { text: String::new(), readings: read("x | a=1").readings });
        assert_eq!(read(""), Said::default());
    }

    #[test]
    fn every_line_may_bring_numbers() {
        let said = "DISK OK - free space: / 3326 MB (56%); | /=2643B;5948;5958;0;5968\n\
                    / 15272 MB (77%);\n/boot 68 MB (69%);\n/var/log 819 MB (84%); | /boot=68B;88;93;0;98\n/home=69357B;253404;253409;0;253414 \n\
                    /var/log=818B;970;975;0;980\n";
        let labels: Vec<_> = readings(said).into_iter().map(|(label, ..)| label).collect();
        assert_eq!(labels, ["/", "/boot", "/home", "/var/log"]);
    }

    #[test]
    fn labels_may_be_quoted_and_units_become_seconds_and_bytes() {
        let said = "x | 'C:\\ used'=3GB 'it''s'=1 time=1500ms us=5us ns=2ns pl=20% n=7c b=1KB t=-1.5e3s comma=0,25s rpm=900rpm";
        let expected = [
            triple("C:\\ used", 3.0 * 1_073_741_824.0, "B"),
            triple("it's", 1.0, ""),
            triple("time", 1.5, "s"),
            triple("us", 5e-6, "s"),
            triple("ns", 2e-9, "s"),
            triple("pl", 20.0, "%"),
            triple("n", 7.0, "c"),
            triple("b", 1024.0, "B"),
            triple("t", -1500.0, "s"),
            triple("comma", 0.25, "s"),
            triple("rpm", 900.0, "rpm"),
        ];
        assert_eq!(readings(said), expected);
    }

    #[test]
    fn what_is_unknown_or_makes_no_sense_is_skipped_and_the_rest_is_read() {
        let said =
            "x | a=U;1;2 ''=3 =4 b= c=; d=nan e=inf f=1e999 g=1.2.3 h=1,234,567 words here 'open=5 i=6;~:10;@1:2;; 'j'k=7 l=0x1f | m=8";
        assert_eq!(readings(said), [triple("i", 6.0, ""), triple("m", 8.0, "")]);
    }

    #[test]
    fn a_flood_of_numbers_is_bounded_and_labels_cannot_reach_a_terminal() {
        assert_eq!(readings(&format!("x | {}", "a=1 ".repeat(2000))).len(), READINGS_LIMIT);
        assert_eq!(readings("x | '\x1b[2Jb\u{202e}'=1")[0].0, "\\x1b[2Jb\\u{202e}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_plug_in_says_is_read_without_a_panic(said in "[-a-c' =|;,.0-9eEUms%\\n\u{b5}\\x00]{0,400}") {
            let seen = read(&said);
            assert!(seen.readings.len() <= READINGS_LIMIT);
            assert!(seen.readings.iter().all(|reading| reading.value.is_finite() && !reading.label.is_empty()));
            assert!(!seen.text.contains(char::is_control) && !seen.text.contains('|'));
        }

        #[test]
        fn what_is_written_by_the_rules_is_read_back(label in "[^=\\p{C}]{1,20}", value in -1e12..1e12_f64) {
            proptest::prop_assume!(label.trim() == label);
            let said = format!("OK | '{}'={value};;;0 next=1", label.replace('\'', "''"));
            assert_eq!(readings(&said), [triple(&one_line(&label), value, ""), triple("next", 1.0, "")]);
        }
    }
}
