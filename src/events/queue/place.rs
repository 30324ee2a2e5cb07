//! Where a queue is: account, region, and the address that serves it.

use crate::instance::Metadata;
use crate::plan::{Endpoint, QueueNetwork, QueueSource};
use crate::rpc::unsent;
use crate::signal::{Class, Refusal};
use reqwest::Url;

/// Where a queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the account.
    pub(super) account: String,
    /// Such as `cn-hangzhou`.
    pub(super) region: String,
    /// Scheme, host and port.
    pub(super) base: Url,
}

impl Place {
    /// As the configuration says, else where this instance is.
    ///
    /// # Errors
    /// If the metadata service does not tell what the configuration leaves to it.
    pub(super) async fn find(settings: &QueueSource, metadata: &Metadata) -> Result<Self, Refusal> {
        let unknown = |what: &str, error: crate::instance::Error| {
            let hint = format!("write `{what}` into the source");
            unsent(Class::Transient, format!("the {what} of the queue is not known: {error}"), Some(hint))
        };
        let account = match &settings.account {
            Some(account) => account.clone(),
            None => metadata.account().await.map_err(|error| unknown("account", error))?,
        };
        let region = match &settings.region {
            Some(region) => region.clone(),
            None => metadata.region().await.map_err(|error| unknown("region", error))?,
        };
        let base = base(settings, &account, &region)
            .ok_or_else(|| unsent(Class::Permanent, format!("account {account:?} and region {region:?} make no host name"), None))?;
        Ok(Self { account, region, base })
    }

    /// How a subscription names a queue as its endpoint: without the slash that ARNs of RAM have.
    pub(super) fn endpoint(&self, queue: &str) -> String {
        format!("acs:mns:{}:{}:queues/{queue}", self.region, self.account)
    }

    /// How RAM names what lies at `path`, such as `/queues/NAME`.
    pub(super) fn resource(&self, path: &str) -> String {
        format!("acs:mns:{}:{}:{path}", self.region, self.account)
    }
}

fn base(settings: &QueueSource, account: &str, region: &str) -> Option<Url> {
    if let Endpoint::Url(url) = &settings.endpoint {
        return Some(url.clone());
    }
    let (scheme, internal) = match settings.network {
        QueueNetwork::Public => ("https", ""),
        QueueNetwork::Internal => ("https", "-internal"),
        QueueNetwork::InternalPlain => ("http", "-internal"),
    };
    Url::parse(&format!("{scheme}://{account}.mns.{region}{internal}.aliyuncs.com/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{QueueOwner, QueueSignature};
    use std::time::Duration;

    fn settings(endpoint: Endpoint, network: QueueNetwork) -> QueueSource {
        QueueSource {
            whose: QueueOwner::Given("q".to_owned()),
            account: None,
            region: None,
            endpoint,
            network,
            signature: QueueSignature::V2,
            wait: Duration::from_secs(30),
            batch: 16,
        }
    }

    #[test]
    fn the_host_follows_account_region_and_network_unless_it_is_written() {
        let of = |endpoint, network| base(&settings(endpoint, network), "1234567890123456", "cn-hangzhou").unwrap().to_string();
        assert_eq!(of(Endpoint::Auto, QueueNetwork::Public), "https://1234567890123456.mns.cn-hangzhou.aliyuncs.com/");
        assert_eq!(of(Endpoint::Auto, QueueNetwork::Internal), "https://1234567890123456.mns.cn-hangzhou-internal.aliyuncs.com/");
        assert_eq!(of(Endpoint::Auto, QueueNetwork::InternalPlain), "http://1234567890123456.mns.cn-hangzhou-internal.aliyuncs.com/");
        let url = Endpoint::Url("http://127.0.0.1:8080/".parse().unwrap());
        assert_eq!(of(url, QueueNetwork::Internal), "http://127.0.0.1:8080/");
    }
}
