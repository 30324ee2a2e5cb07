//! A service on the network that hands out credentials: one GET, and a document like that of the metadata service.
//!
//! Over plain http whoever stands on the way reads the keys. So that is taken only for `localhost` and for addresses that no router of
//! the internet carries: loopback, link-local, private, and those shared by carriers, among which Alibaba Cloud has its own services
//! (RFC 1122, 3927, 1918, 6598, 4193). A name may lead anywhere, so a name needs https. No proxy, no redirects.

use super::Found;
use super::around::Around;
use super::document;
use super::source::Refused;
use crate::rpc::{date_ms, http_client};
use crate::secret::Secret;
use crate::transport;
use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::time::Instant;

/// One exchange (the SDKs: 5 s to connect, 10 s to read).
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most of an answer that is read.
const BODY_LIMIT: usize = 64 * 1024;

/// Asks `given`, or what the environment names.
pub(super) async fn find(given: Option<&Secret>, around: &Around) -> Result<Found, Refused> {
    let url = match given.or(around.uri.as_ref()) {
        Some(text) => parse(text.expose())?,
        None => return Err(Refused::new("ALIBABA_CLOUD_CREDENTIALS_URI is not set").hinting("set it, or `uri` in [credentials]")),
    };
    let host = url.authority().to_owned();
    let deadline = Instant::now() + TIMEOUT;
    let http = http_client(url.scheme() == "http", &around.reach.without_proxy()).map_err(|error| Refused::new(error.to_string()))?;
    let trouble = |trouble: transport::Trouble| Refused { why: trouble.message, hint: trouble.hint, class: None };
    let asking = async {
        http.prepare().await;
        // The URL may hold a secret of its own: only its host is ever named.
        let response = match http.client().map_err(trouble)?.get(url.as_str()).send().await {
            Ok(response) => response,
            Err(error) => return Err(trouble(http.explain(&error, &host, None, deadline).await)),
        };
        let (status, date) = (response.status().as_u16(), date_ms(response.headers()));
        if status != 200 {
            return Err(Refused::new(format!("HTTP {status} from {host}")));
        }
        let body = zeroize::Zeroizing::new(transport::read_body(response, BODY_LIMIT, &host).await.map_err(trouble)?);
        let text = std::str::from_utf8(&body).map_err(|_| Refused::new(format!("the answer of {host} is not text")))?;
        let (keys, expires_ms) = document::role(text, &format!("credentials URI of {host}")).map_err(Refused::new)?;
        Ok(Found { keys, expires_ms, source_ms: date, ask_again: None })
    };
    match tokio::time::timeout_at(deadline, asking).await {
        Ok(found) => found,
        Err(_) => Err(Refused::new(format!("timed out after {}s waiting for {host}", TIMEOUT.as_secs()))),
    }
}

pub(super) fn parse(text: &str) -> Result<Url, Refused> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| Refused::new("the URI is not an http or https URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::new("the URI must not hold a user or password"));
    }
    if is_kept_private(&url) {
        return Ok(url);
    }
    let why = format!("plain http to {} would show the keys to everybody on the way", url.authority());
    Err(Refused::new(why).hinting("write https://, or a loopback, link-local or private address in place of the name"))
}

/// Whether what is sent to `url` is encrypted, or cannot leave the private network.
pub(crate) fn is_kept_private(url: &Url) -> bool {
    url.scheme() == "https" || transport::is_loopback(url) || transport::address(url).is_some_and(is_private)
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_link_local() || is_shared(address),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// 100.64.0.0/10 (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0b1100_0000 == 0b0100_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_taken_only_where_it_stays_in_the_private_network() {
        for kept in [
            "https://credentials.example.com/x",
            "http://localhost:8080/x",
            "http://127.0.0.1/x",
            "http://[::1]:1/",
            "http://169.254.170.2/v2",
            "http://10.1.2.3/",
            "http://192.168.0.1/",
            "http://172.16.0.1/",
            "http://100.100.100.200/x",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
        ] {
            assert!(parse(kept).is_ok(), "{kept}");
        }
        for refused in [
            "http://credentials.example.com/x",
            "http://sidecar/x",
            "http://8.8.8.8/",
            "http://100.128.0.1/",
            "http://172.32.0.1/",
            "http://[2001:db8::1]/",
            "http://[::ffff:8.8.8.8]/",
            "https://user:secret@host/",
            "file:///etc/passwd",
            "not a URL",
        ] {
            let refused = parse(refused).unwrap_err();
            assert!(!refused.why.contains("secret"), "{}", refused.why);
        }
    }
}
