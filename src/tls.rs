//! TLS of everything the agent speaks: the one room that names the provider (ring), so that a change of provider is a change here.
//!
//! Trust is the system's certificate store, read by `rustls-platform-verifier`, besides which certificates of a `ca_file` may be
//! trusted. The provider is always handed in, never installed for the process, so no order of calls can matter.
//! Parsed roots take some 0.4 MiB: [`Roots`] is loaded once and shared by all who need it.

use crate::plan::TlsOptions;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// What every request says about who asks.
pub const USER_AGENT: &str = concat!("ros-signal-agent/", env!("CARGO_PKG_VERSION"));

/// Largest PEM file that is read: a bundle of all public roots is a quarter of this.
const PEM_LIMIT: u64 = 1024 * 1024;

/// Why TLS could not be set up. Never about the other side: that comes as an error of the connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system has no certificate store that could be read.
    #[error("no CA certificates of the system could be loaded\nhint: install the package ca-certificates, or give ca_file")]
    NoRoots,
    /// A PEM file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A PEM file is larger than any that makes sense.
    #[error("{0} is larger than 1 MiB")]
    TooLarge(PathBuf),
    /// A PEM file has no certificate, or a broken one.
    #[error("{0} has no usable PEM certificate\nhint: it must have a section that begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate(PathBuf),
    /// A PEM file has no private key.
    #[error("{0} has no usable PEM private key\nhint: PKCS #8, PKCS #1 and SEC1 keys without a passphrase are understood")]
    NoKey(PathBuf),
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("{path} and its key cannot be used: {source}")]
    ClientCertificate {
        /// The file with the certificate.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The certificate of a listener and its key do not belong together, or are of a kind that is not supported.
    #[error("{path} and its key cannot be used: {source}\nhint: tls_key must be the key of the first certificate in tls_certificate")]
    ServerCertificate {
        /// The file with the certificate.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The provider refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// Starts a client for ROS and its companions: system roots and `extra_ca`, no proxy, no redirects, HTTP/1.1 over rustls.
///
/// # Errors
/// If the system's certificates or `extra_ca` cannot be loaded. With `extra_ca` a system without certificates is no error.
pub fn client_builder(extra_ca: Option<&Path>) -> Result<reqwest::ClientBuilder, Error> {
    client_builder_at(extra_ca, None)
}

/// Like [`client_builder`], with another clock than this host's to judge certificates by.
///
/// # Errors
/// As for [`client_builder`].
pub fn client_builder_at(extra_ca: Option<&Path>, time: Option<Arc<dyn TimeProvider>>) -> Result<reqwest::ClientBuilder, Error> {
    let options = TlsOptions { verify: true, ca_file: extra_ca.map(Path::to_owned), client: None, server_name: None };
    let roots = match Roots::load() {
        Ok(roots) => Some(roots),
        Err(_) if extra_ca.is_some() => None,
        Err(error) => return Err(error),
    };
    Ok(plain_builder(client_config_at(&options, roots.as_ref(), time.unwrap_or_else(|| Arc::new(DefaultTimeProvider)))?))
}

/// A client of ours over `config`: what all of them have in common.
pub(crate) fn plain_builder(config: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .user_agent(USER_AGENT)
}

/// The system's trusted certificates, parsed once.
#[derive(Clone, Debug)]
pub struct Roots(Arc<dyn ServerCertVerifier>);

impl Roots {
    /// Reads the system's certificate store (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured). Blocks on files.
    ///
    /// # Errors
    /// [`Error::NoRoots`] if there is not one usable certificate.
    pub fn load() -> Result<Self, Error> {
        let verifier = rustls_platform_verifier::Verifier::new(provider()).map_err(|_| Error::NoRoots)?;
        Ok(Self(Arc::new(verifier)))
    }
}

/// TLS as a check or a client wants it. `roots` may be missing: then only `ca_file` is trusted. Blocks on files.
///
/// # Errors
/// If a file of `options` cannot be read or used.
pub fn client_config(options: &TlsOptions, roots: Option<&Roots>) -> Result<ClientConfig, Error> {
    client_config_at(options, roots, Arc::new(DefaultTimeProvider))
}

fn client_config_at(options: &TlsOptions, roots: Option<&Roots>, time: Arc<dyn TimeProvider>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_details(provider(), time)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(options, roots)?);
    let mut config = match &options.client {
        None => builder.with_no_client_auth(),
        Some((cert_file, key_file)) => {
            let key = private_key(key_file)?;
            builder
                .with_client_auth_cert(certificates(cert_file)?, key)
                .map_err(|source| Error::ClientCertificate { path: cert_file.clone(), source })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A session that goes on shows no certificate, so that one that has expired meanwhile would not be noticed. And a place for sessions takes 15 KB, in
    // each client.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// TLS of a listener with the certificate chain and the key of these files. Blocks.
///
/// # Errors
/// If one of them cannot be read, or they do not belong together.
pub(crate) fn server_config(certificate: &Path, key: &Path) -> Result<ServerConfig, Error> {
    let (chain, key) = (certificates(certificate)?, private_key(key)?);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setup(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| Error::ServerCertificate { path: certificate.to_owned(), source })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

fn verifier(options: &TlsOptions, roots: Option<&Roots>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if !options.verify {
        return Ok(Arc::new(Unverified(provider())));
    }
    let system = roots.map(|roots| Arc::clone(&roots.0));
    let Some(ca_file) = &options.ca_file else {
        return match system {
            Some(system) => Ok(system),
            None => Ok(Arc::new(NoTrust(provider()))),
        };
    };
    let mut store = RootCertStore::empty();
    for certificate in certificates(ca_file)? {
        store.add(certificate).map_err(|_| Error::NoCertificate(ca_file.clone()))?;
    }
    let own: Arc<dyn ServerCertVerifier> = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
        .build()
        .map_err(|error| Error::Setup(error.to_string()))?;
    Ok(match system {
        Some(system) => Arc::new(Merged { own, system }),
        None => own,
    })
}

/// Certificates as a server sends them or a file holds them: the leaf first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain(pub(crate) Vec<CertificateDer<'static>>);

/// The certificates of a file, PEM (other sections are passed over) or DER (one). Blocks.
///
/// # Errors
/// If it cannot be read, is too large, or holds none.
pub(crate) fn read_chain(path: &Path) -> Result<Chain, Error> {
    const MARK: &[u8] = b"-----BEGIN ";
    // A bundle may hold the key too.
    let bytes = zeroize::Zeroizing::new(read(path)?);
    if bytes.windows(MARK.len()).any(|window| window == MARK) {
        return certificates_of(&bytes, path).map(Chain);
    }
    // What DER holds begins with a sequence (X.690, section 8.9).
    if bytes.first() == Some(&0x30) { Ok(Chain(vec![bytes.to_vec().into()])) } else { Err(Error::NoCertificate(path.to_owned())) }
}

/// What is trusted, to verify chains that were collected before.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Arc<dyn ServerCertVerifier>);

impl Trust {
    /// Trusts `roots` and what `ca_file` holds. Blocks on files.
    ///
    /// # Errors
    /// If `ca_file` cannot be read or used.
    pub(crate) fn load(ca_file: Option<&Path>, roots: Option<&Roots>) -> Result<Self, Error> {
        let options = TlsOptions { verify: true, ca_file: ca_file.map(Path::to_owned), client: None, server_name: None };
        verifier(&options, roots).map(Self)
    }

    /// Verifies `chain` up to a trusted root, and that its leaf is for `name`, at `now`, in seconds since 1970. Without a name any will do.
    ///
    /// # Errors
    /// Why it is not trusted.
    pub(crate) fn verify(&self, chain: &Chain, name: Option<&ServerName<'_>>, now: i64) -> Result<(), rustls::Error> {
        let Some((leaf, intermediates)) = chain.0.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or_default()));
        let nobody = ServerName::try_from("nobody.invalid").map_err(|_| rustls::Error::UnsupportedNameType)?;
        let verified = self.0.verify_server_cert(leaf, intermediates, name.unwrap_or(&nobody), &[], now);
        match verified {
            Ok(_) => Ok(()),
            // Names are looked at last, after all that makes up the chain.
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }))
                if name.is_none() =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// What a server showed in a handshake with a [`collecting_config`].
#[derive(Clone, Debug)]
pub(crate) struct Collected(Arc<Collector>);

impl Collected {
    /// The certificates, if the server has proved that the key of the first one is its own.
    pub(crate) fn proved(&self) -> Option<Chain> {
        let shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.proved.then(|| shown.chain.clone())
    }
}

/// TLS that accepts any certificate and keeps the chain, to be verified afterwards.
///
/// # Errors
/// If the provider refuses its own defaults.
pub(crate) fn collecting_config() -> Result<(ClientConfig, Collected), Error> {
    let collector = Arc::new(Collector { provider: provider(), shown: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&collector) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    Ok((config, Collected(collector)))
}

/// Accepts any certificate, but not that of somebody else.
#[derive(Debug)]
struct Collector {
    provider: Arc<CryptoProvider>,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    chain: Chain,
    proved: bool,
}

impl Collector {
    fn prove(&self, valid: Result<HandshakeSignatureValid, rustls::Error>) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).proved = valid.is_ok();
        valid
    }
}

impl ServerCertVerifier for Collector {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|certificate| certificate.clone().into_owned()).collect();
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).chain = Chain(chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.prove(rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.prove(rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    certificates_of(&read(path)?, path)
}

fn certificates_of(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::NoCertificate(path.to_owned())),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = zeroize::Zeroizing::new(read(path)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| Error::NoKey(path.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(PEM_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PEM_LIMIT {
        return Err(Error::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// Trusts what either of two stores trusts, so that a `ca_file` costs its own certificates and not the system's once more.
#[derive(Debug)]
struct Merged {
    own: Arc<dyn ServerCertVerifier>,
    system: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for Merged {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.own.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Ok(verified) => Ok(verified),
            Err(own) => match self.system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                // Trouble with a certificate of our CA is what a person must hear, not that the system does not know that CA.
                Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Err(own),
                answer => answer,
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.own.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.own.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.supported_verify_schemes()
    }
}

/// `tls_verify = false`, spelled out by the user: any certificate will do.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

/// Without roots nothing is trusted: for clients that speak only plain HTTP, which so cost no certificate store.
#[derive(Debug)]
struct NoTrust(Arc<CryptoProvider>);

macro_rules! verifier_that {
    ($name:ident, $answer:expr) => {
        impl ServerCertVerifier for $name {
            fn verify_server_cert(
                &self,
                _: &CertificateDer<'_>,
                _: &[CertificateDer<'_>],
                _: &ServerName<'_>,
                _: &[u8],
                _: UnixTime,
            ) -> Result<ServerCertVerified, rustls::Error> {
                $answer
            }

            fn verify_tls12_signature(
                &self,
                _: &[u8],
                _: &CertificateDer<'_>,
                _: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, rustls::Error> {
                Ok(HandshakeSignatureValid::assertion())
            }

            fn verify_tls13_signature(
                &self,
                _: &[u8],
                _: &CertificateDer<'_>,
                _: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, rustls::Error> {
                Ok(HandshakeSignatureValid::assertion())
            }

            fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
                self.0.signature_verification_algorithms.supported_schemes()
            }
        }
    };
}

verifier_that!(Unverified, Ok(ServerCertVerified::assertion()));
verifier_that!(NoTrust, Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)));
