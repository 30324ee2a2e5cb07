//! What all targets share: bounds that make a hungry or a quadratic parser a finding, and a place for files.

pub mod plan;

use cap::Cap;
use std::alloc::System;
use std::path::PathBuf;
use std::sync::OnceLock;

/// What is allocated beyond a target's own bound is refused, which ends the process: a finding.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What a target may hold at once beyond what it holds between its inputs.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Bytes of memory.
    pub memory: usize,
    /// Bytes that a stretched input becomes at most: somewhat more than the parser takes.
    pub stretch: usize,
}

/// Runs one input within `bounds`.
pub fn run(data: &[u8], bounds: Bounds, target: impl FnOnce(&[u8])) {
    let stretched = stretched(data, bounds.stretch);
    let data = stretched.as_deref().unwrap_or(data);
    // There is always room for what is held already.
    let _ = ALLOCATOR.set_limit(ALLOCATOR.allocated().saturating_add(bounds.memory));
    target(data);
    let _ = ALLOCATOR.set_limit(usize::MAX);
}

/// Inputs that libFuzzer makes are short, and what takes quadratic time shows in long ones only. So an input may stand for a long one:
///
/// ```text
/// FE n prefix FD unit FD suffix    prefix, unit as often as fits into n * 4 KiB, suffix; 01 in a unit becomes the number of its turn
/// ```
///
/// FE and FD stand in no UTF-8, so no other input is mistaken for one of these where texts are read.
fn stretched(data: &[u8], limit: usize) -> Option<Vec<u8>> {
    let (size, rest) = data.strip_prefix(&[0xfe])?.split_first()?;
    let mut parts = rest.splitn(3, |byte| *byte == 0xfd);
    let (prefix, unit, suffix) = (parts.next()?, parts.next().filter(|unit| !unit.is_empty())?, parts.next()?);
    let size = (usize::from(*size) * 4096).min(limit);
    let mut long = prefix.to_vec();
    let mut number = 0_u32;
    while long.len() + unit.len() + suffix.len() < size {
        for byte in unit {
            match byte {
                1 => long.extend(number.to_string().bytes()),
                other => long.push(*other),
            }
        }
        number += 1;
    }
    long.extend(suffix);
    Some(long)
}

/// A directory of this process. `fuzz/run` says where (`TMPDIR`), and removes it.
pub fn directory() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("ros-signal-agent-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for files");
        path
    })
}

/// A file in [`directory`] with these bytes, which only its owner may read.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory().join(name);
    std::fs::create_dir_all(path.parent().expect("it has a parent")).expect("a directory");
    std::fs::write(&path, bytes).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    path
}

/// Parts of an input, separated by lines of `%%`.
pub fn parts(data: &[u8]) -> Vec<&[u8]> {
    const MARK: &[u8] = b"\n%%\n";
    let (mut parts, mut rest) = (Vec::new(), data);
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        parts.push(&rest[..at]);
        rest = &rest[at + MARK.len()..];
    }
    parts.push(rest);
    parts
}

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * 1024;
