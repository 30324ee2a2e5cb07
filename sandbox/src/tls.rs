//! The one room that names the TLS provider: a certificate authority made for this sandbox, and a server certificate of it.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// The server's side of TLS, and the authority to trust in PEM.
pub(crate) struct Identity {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) ca_pem: String,
}

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Making the certificates failed.
    #[error("cannot make the certificates of the sandbox")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refuses them.
    #[error("cannot set up TLS")]
    Config(#[from] rustls::Error),
}

/// Makes an authority and a certificate for `localhost` and the address, which is good in `years`, or for centuries. No process-wide provider is installed.
pub(crate) fn identity(ip: IpAddr, years: Option<&RangeInclusive<i32>>) -> Result<Identity, TlsError> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "ros-sandbox authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), ip.to_string()])?;
    leaf.distinguished_name.push(DnType::CommonName, "ros-sandbox");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if let Some(years) = years {
        leaf.not_before = rcgen::date_time_ymd(*years.start(), 1, 1);
        leaf.not_after = rcgen::date_time_ymd(years.end().saturating_add(1), 1, 1);
    }
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&key, &ca)?;

    let private_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private_key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: ca.pem() })
}
