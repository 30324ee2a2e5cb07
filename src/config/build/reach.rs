//! How services of Alibaba Cloud are reached: `[ros]`, `[clock]`, and the environment variable `ROS_ENDPOINT`.

use crate::config::forms;
use crate::config::fragment::{Data, Value};
use crate::config::network;
use crate::config::reader::{Parsed, Problem, Reader, text};
use crate::config::source::Place;
use crate::config::{Environment, ROS_ENDPOINT};
use crate::plan::{ClockTrust, Endpoint, Home, Network, Ros, SignatureScheme};
use reqwest::Url;

/// `[ros]`.
pub(super) fn ros(reader: &mut Reader<'_>, environment: &Environment) -> Option<Ros> {
    let home = reader.word("home", |word| match word {
        "auto" => Some(Home::Auto),
        "china" => Some(Home::China),
        "international" => Some(Home::International),
        _ => None,
    });
    let network = reader.word("network", |word| match word {
        "auto" => Some(Network::Auto),
        "vpc" => Some(Network::Vpc),
        "public" => Some(Network::Public),
        _ => None,
    });
    let narrowed = home.is_some_and(|home| home != Home::Auto) || network.is_some_and(|network| network != Network::Auto);
    let endpoint = endpoint(reader, environment, narrowed);
    let proxy = reader.optional("proxy", proxy);
    let signature = reader.word("signature", |word| match word {
        "acs3-hmac-sha256" => Some(SignatureScheme::Acs3HmacSha256),
        "hmac-sha1" => Some(SignatureScheme::HmacSha1),
        _ => None,
    });
    let timeout = reader.duration("timeout");
    let poll = reader.flag("poll");
    let ca_file = reader.optional("ca_file", forms::path);
    Some(Ros {
        endpoint: endpoint?,
        home: home?,
        network: network?,
        proxy: proxy?,
        signature: signature?,
        ca_file: ca_file?,
        timeout: timeout?,
        poll: poll?,
    })
}

/// `endpoint`; where nothing was said about hosts at all, that of the environment. `narrowed`: home or network say something.
fn endpoint(reader: &mut Reader<'_>, environment: &Environment, narrowed: bool) -> Option<Endpoint> {
    let left_open = reader.written("endpoint").is_none_or(|value| matches!(text(value), Ok("auto")));
    let from_environment = environment.ros_endpoint.as_deref().filter(|_| !narrowed && left_open);
    if let Some(given) = from_environment {
        return of_environment(reader, given);
    }
    let endpoint = reader.value("endpoint", |value| match text(value)? {
        "auto" => Ok(Endpoint::Auto),
        _ => network::url_with_tls(value, None).map(Endpoint::Url),
    });
    if narrowed && matches!(endpoint, Some(Endpoint::Url(_))) {
        let place = reader.place("endpoint");
        let message = "`endpoint` names the host, so `home` and `network` have nothing to choose";
        reader.notes.misfit(place, message, Some("leave `endpoint` out, or `home` and `network`".to_owned()));
    }
    endpoint
}

/// The value of `ROS_ENDPOINT`: a URL, or, as Terraform's provider takes it, a host without a scheme.
fn of_environment(reader: &mut Reader<'_>, given: &str) -> Option<Endpoint> {
    let url = if given.contains("://") { given.to_owned() } else { format!("https://{given}") };
    let value = Value { place: Place::Default, data: Data::Text(url) };
    match network::url_with_tls(&value, None) {
        Ok(url) => {
            reader.record_environment("endpoint", url.as_str().trim_end_matches('/'), ROS_ENDPOINT);
            Some(Endpoint::Url(url))
        }
        Err(problems) => {
            for problem in problems {
                // The value is not shown: it may hold what nobody meant to show.
                let place = reader.place("endpoint");
                reader.notes.error(place, format!("the environment variable {ROS_ENDPOINT} {}", problem.message), problem.hint);
            }
            None
        }
    }
}

/// A proxy: scheme, host and port. What it carries is TLS, so the way to it need not be.
fn proxy(value: &Value) -> Parsed<Url> {
    if text(value)?.split_once("://").is_some_and(|(scheme, _)| scheme != "http") {
        let hint = "requests travel through it in a TLS tunnel (CONNECT), whatever its scheme; write http://";
        return Err(Problem::new("must be an http:// proxy").hint(hint).into());
    }
    network::url_of_proxy(value)
}

/// `[clock]`.
pub(super) fn clock(reader: &mut Reader<'_>) -> Option<ClockTrust> {
    reader.word("trust", |word| match word {
        "system" => Some(ClockTrust::System),
        "metadata" => Some(ClockTrust::Metadata),
        _ => None,
    })
}
