//! `type = "certificate"`: how long a certificate is still good, and whether it is trusted at all.
//!
//! Of a server only the handshake is made; nothing is sent after it. The handshake accepts any certificate whose key the server proves to
//! have, so that the dates of every chain can be read; trust is judged afterwards, by the same verifiers as everywhere ([`crate::tls`]).
//! Revocation is not looked at.

#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod judge;

use super::progress::Doing;
use super::roots::one_sentence;
use super::{Means, failure, tcp};
use crate::check::{Health, Observation};
use crate::clock::Moment;
use crate::plan::{Certificate, CertificateSource, Name};
use crate::tls::{self, Chain, Trust};
use judge::Judged;
use rustls::pki_types::ServerName;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

/// Makes one observation. The caller keeps the time.
pub(super) async fn look(name: &Name, certificate: &Certificate, means: Means<'_>) -> Observation {
    let means = &means;
    match &certificate.source {
        CertificateSource::Server(host, port) => of_server(name, certificate, host, *port, means).await,
        CertificateSource::File(path) => of_file(name, certificate, path, means).await,
    }
}

async fn of_server(name: &Name, certificate: &Certificate, host: &str, port: u16, means: &Means<'_>) -> Observation {
    let trust = match trust(name, certificate, means).await {
        Ok(trust) => trust,
        Err(trouble) => return trouble,
    };
    let asked = certificate.server_name.as_deref().unwrap_or(host);
    let Ok(server_name) = ServerName::try_from(asked.to_owned()) else {
        return Observation::new(Health::Unknown, format!("{asked} is no name that TLS could ask for"));
    };
    let stream = match tcp::reach(host, port, means.lookups, means.progress).await {
        Ok((stream, _)) => stream,
        Err(unreached) => return unreached,
    };
    let place = tcp::place(host, port);
    let (config, shown) = match tls::collecting_config() {
        Ok(made) => made,
        Err(error) => return Observation::new(Health::Unknown, one_sentence(&error)),
    };
    means.progress.now(Doing::ShakingHands(place.clone()));
    let handshake = TlsConnector::from(Arc::new(config)).connect(server_name.clone(), stream).await;
    // A server that wants a certificate of ours may end the handshake; its own it has shown and proved before.
    let Some(chain) = shown.proved() else {
        return match handshake {
            Err(error) => failure::of_handshake(&error, &place),
            Ok(_) => Observation::new(Health::Critical, format!("{place} showed no certificate")),
        };
    };
    let judged = judge(certificate, &chain, &place, trust.as_ref(), Some(&server_name));
    means.progress.now(Doing::Decided(judged.clone()));
    if let Ok(mut stream) = handshake {
        // The other side may be gone already: there is nothing more to be done for it.
        let _ = stream.shutdown().await;
    }
    judged
}

async fn of_file(name: &Name, certificate: &Certificate, path: &Path, means: &Means<'_>) -> Observation {
    let trust = match trust(name, certificate, means).await {
        Ok(trust) => trust,
        Err(trouble) => return trouble,
    };
    let server_name = match certificate.server_name.clone().map(ServerName::try_from).transpose() {
        Ok(server_name) => server_name,
        Err(_) => return Observation::new(Health::Unknown, "server_name is no name that a certificate could have"),
    };
    let (shown, owned) = (path.display().to_string(), path.to_owned());
    match means.apart.look(name, &shown, means.progress, move || tls::read_chain(&owned)).await {
        Ok(Ok(chain)) => judge(certificate, &chain, &shown, trust.as_ref(), server_name.as_ref()),
        Ok(Err(error)) => of_unread(&error, path),
        Err(observation) => observation,
    }
}

/// That the file is missing or holds something else is what the check is about; that it may not be read is trouble of our own.
fn of_unread(error: &tls::Error, path: &Path) -> Observation {
    let shown = path.display();
    match error {
        tls::Error::Read { source, .. } if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Observation::new(Health::Critical, format!("{shown} does not exist"))
        }
        tls::Error::NoCertificate(_) => Observation::new(Health::Critical, format!("{shown} holds no certificate, neither PEM nor DER")),
        tls::Error::TooLarge(_) => Observation::new(Health::Critical, one_sentence(error)),
        _ => Observation::new(Health::Unknown, one_sentence(error)),
    }
}

/// What is trusted; none: nothing is verified. Errors are observations.
async fn trust(name: &Name, certificate: &Certificate, means: &Means<'_>) -> Result<Option<Trust>, Observation> {
    let unknown = |trouble: String| Observation::new(Health::Unknown, trouble);
    if !certificate.verify {
        return Ok(None);
    }
    let roots = means.roots.get(name, means.progress, certificate.ca_file.is_some()).await.map_err(unknown)?;
    let Some(ca_file) = certificate.ca_file.clone() else {
        return Trust::load(None, roots.as_ref()).map(Some).map_err(|error| unknown(one_sentence(&error)));
    };
    let shown = ca_file.display().to_string();
    let load = move || Trust::load(Some(&ca_file), roots.as_ref());
    let loaded = means.apart.look(name, &shown, means.progress, load).await?;
    loaded.map(Some).map_err(|error| unknown(one_sentence(&error)))
}

fn judge(
    certificate: &Certificate,
    chain: &Chain,
    place: &str,
    trust: Option<&Trust>,
    server_name: Option<&ServerName<'_>>,
) -> Observation {
    let now = Moment::now().wall_ms.div_euclid(1000);
    let distrust = trust.and_then(|trust| trust.verify(chain, server_name, now).err());
    judge::observation(&Judged { chain, place, now, distrust, thresholds: certificate.thresholds })
}
