//! `type = "certificate"`: how long a certificate is still good.

use crate::check::Thresholds;
use std::path::PathBuf;

/// A certificate, and what it must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// `address` or `file`.
    pub source: CertificateSource,
    /// `server_name`: name that is asked for (SNI) and verified; none: the host of `address`, and of a file no name is verified.
    pub server_name: Option<String>,
    /// `ca_file`: PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// `verify`: the chain and the name too, not only the dates; true.
    pub verify: bool,
    /// `warn` and `crit` on the days that are left.
    pub thresholds: Thresholds,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// A TLS server, by host and port; a name is tried in all its address families.
    Server(String, u16),
    /// A file, PEM or DER; the first certificate is the leaf.
    File(PathBuf),
}
