//! Sizes: `"64KiB"`, `"10MB"`, `"512B"`.

use super::fragment::{Data, Value};
use super::reader::{Parsed, Problem, shorten, text};

/// Units and their bytes, those of IEC 80000-13 and of the SI.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// The bytes that a text such as `64KiB` means.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?.trim_end(), bytes)))?;
    number.parse::<u64>().ok()?.checked_mul(*unit)
}

/// The bytes that `value` means.
pub(super) fn parse(value: &Value) -> Parsed<u64> {
    if let Data::Integer(number) = value.data {
        return Err(Problem::new("must have a unit").hint(format!("write \"{number}B\" for bytes")).into());
    }
    let text = text(value)?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::new("must have a unit").hint(format!("write \"{}B\" for bytes", shorten(text))).into());
    }
    bytes(text).ok_or_else(|| {
        Problem::new("is not a size").hint("sizes look like \"64KiB\", \"10MB\" or \"1GiB\", a whole number and a unit").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_whole_number_and_a_unit() {
        let parse = |text: &str| parse(&Value::of_default(&format!("\"{text}\"")));
        for (text, bytes) in [("64KiB", 65_536), ("10MB", 10_000_000), ("0B", 0), ("1 GiB", 1 << 30), ("2TB", 2_000_000_000_000)] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "64", "KiB", "1.5MiB", "-1B", "64kib", "99999999999TiB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
