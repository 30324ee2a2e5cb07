//! The one file that names the TLS provider.

use std::path::{Path, PathBuf};

/// Why no TLS client can be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of extra certificates cannot be read.
    #[error("cannot read the certificates in {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of extra certificates is not PEM.
    #[error("{0} is not a PEM file of certificates")]
    Pem(PathBuf),
}

/// A client that trusts the system's certificates and those in `extra_ca`.
///
/// # Errors
/// If `extra_ca` cannot be read.
pub fn client_builder(extra_ca: Option<&Path>) -> Result<reqwest::ClientBuilder, Error> {
    // An error only says that a provider is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder();
    if let Some(path) = extra_ca {
        let pem = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| Error::Pem(path.into()))?;
        builder = builder.tls_certs_merge(certificates);
    }
    Ok(builder)
}
