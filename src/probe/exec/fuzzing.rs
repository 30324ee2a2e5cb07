//! What programs print and how they end.

use super::exit;
use super::output::{Output, Stream};
use crate::check::Range;
use crate::plan::Exec;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// Judges the end of a program that printed `out` and `err`, in pieces of `size`.
pub fn plugin(exec: &Exec, (out, err): (&[u8], &[u8]), size: usize, code: u8) {
    let size = size.max(1);
    let mut output = Output::default();
    out.chunks(size).for_each(|piece| output.push(Stream::Out, piece));
    err.chunks(size).for_each(|piece| output.push(Stream::Err, piece));
    for status in [i32::from(code) << 8, i32::from(code & 0x7f), i32::from(code)] {
        for out_of_memory in [false, true] {
            crate::probe::fuzzing::judge(&exit::observe(exec, ExitStatus::from_raw(status), &output, out_of_memory));
        }
    }
    if let Ok(range) = String::from_utf8_lossy(out).parse::<Range>() {
        assert!(range.alerts(f64::NAN), "what is no number alerts");
        let _ = (range.alerts(0.0), range.to_string());
    }
}
