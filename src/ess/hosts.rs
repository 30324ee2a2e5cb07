//! Which host to ask: that of the region, inside the VPC where there is one, then the public one.
//!
//! `endpoints.json` says by region what a rule cannot: which regions are served by the central host `ess.aliyuncs.com` (all others by
//! `ess.REGION.aliyuncs.com`, as the vendor's SDK has it), and which have a host inside the VPC (`ess-vpc.REGION.aliyuncs.com`, product
//! metadata of Alibaba Cloud). All of them are asked over https only.

use crate::plan::Endpoint;
use crate::ros::check_endpoint;
use reqwest::Url;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::OnceLock;

/// The environment variable that Terraform's provider reads too. The configuration goes before it.
pub const ENDPOINT_VARIABLE: &str = "ESS_ENDPOINT";

/// Attempts without any answer after which the next host is tried.
const PATIENCE: u32 = 3;

#[derive(Default, Deserialize)]
struct Regions {
    central: Vec<String>,
    vpc: Vec<String>,
}

fn regions() -> &'static Regions {
    static REGIONS: OnceLock<Regions> = OnceLock::new();
    // The file is part of the program; a test compares it with the vendor's list.
    REGIONS.get_or_init(|| serde_json::from_str(include_str!("endpoints.json")).unwrap_or_default())
}

/// The hosts of a region, in the order in which they are tried. None for what cannot be the name of a region.
fn of_region(region: &str) -> Vec<Url> {
    let is_name = (1..=64).contains(&region.len()) && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_name {
        return Vec::new();
    }
    let listed = |list: &[String]| list.iter().any(|name| name == region);
    let inside = listed(&regions().vpc).then(|| format!("https://ess-vpc.{region}.aliyuncs.com"));
    let public =
        if listed(&regions().central) { "https://ess.aliyuncs.com".to_owned() } else { format!("https://ess.{region}.aliyuncs.com") };
    inside.into_iter().chain([public]).filter_map(|host| Url::parse(&host).ok()).collect()
}

/// The endpoint of `[ess]`, else that of the environment.
///
/// # Errors
/// If it is not encrypted (but on loopback), or not a host.
pub(super) fn settle(endpoint: &Endpoint, environment: &HashMap<String, String>) -> Result<Endpoint, String> {
    match endpoint {
        Endpoint::Url(url) => check_endpoint(url).map(Endpoint::Url).map_err(|error| error.to_string()),
        Endpoint::Auto => {
            let Some(text) = environment.get(ENDPOINT_VARIABLE).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
                return Ok(Endpoint::Auto);
            };
            // Terraform's provider takes a bare host there.
            let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
            let url = Url::parse(&text).map_err(|error| format!("{ENDPOINT_VARIABLE} is not a host: {error}"))?;
            check_endpoint(&url).map(Endpoint::Url).map_err(|error| format!("{ENDPOINT_VARIABLE}: {error}"))
        }
    }
}

/// The hosts of one region and the one to ask next. The one that answered is kept.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    region: String,
    urls: Vec<Url>,
    current: usize,
    /// Hosts that could not be reached, one after the other.
    failed: usize,
    /// Attempts at this host without an answer, one after the other.
    silent: u32,
}

impl Hosts {
    pub(super) fn new(endpoint: &Endpoint, region: &str) -> Self {
        let urls = match endpoint {
            Endpoint::Url(url) => vec![url.clone()],
            Endpoint::Auto => of_region(region),
        };
        Self { region: region.to_owned(), urls, current: 0, failed: 0, silent: 0 }
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn current(&self) -> Option<&Url> {
        self.urls.get(self.current)
    }

    pub(super) fn all(&self) -> &[Url] {
        &self.urls
    }

    pub(super) fn answered(&mut self) {
        (self.failed, self.silent) = (0, 0);
    }

    /// The host could not be connected to. True if another one is worth an attempt at once.
    pub(super) fn failed(&mut self) -> bool {
        self.silent = 0;
        self.failed += 1;
        self.current = (self.current + 1) % self.urls.len().max(1);
        let another = self.failed < self.urls.len();
        if !another {
            self.failed = 0;
        }
        another
    }

    /// The host was connected to but did not answer, or not as ESS does.
    pub(super) fn silent(&mut self) {
        self.silent += 1;
        if self.silent >= PATIENCE {
            let _ = self.failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(region: &str) -> Vec<String> {
        of_region(region).iter().map(|url| format!("{}://{}", url.scheme(), url.host_str().unwrap())).collect()
    }

    #[test]
    fn every_region_of_the_vendors_list_has_its_hosts() {
        let list: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/ess/endpoints.json")).unwrap();
        let public = list["public"].as_object().unwrap();
        assert!(public.len() > 70);
        for (region, host) in public {
            let inside = list["vpc"].get(region).map(|host| format!("https://{}", host.as_str().unwrap()));
            let expected: Vec<_> = inside.into_iter().chain([format!("https://{}", host.as_str().unwrap())]).collect();
            assert_eq!(names(region), expected, "{region}");
        }
    }

    #[test]
    fn a_region_that_is_newer_than_the_list_has_the_host_of_the_rule_and_nonsense_has_none() {
        assert_eq!(names("xx-new-1"), ["https://ess.xx-new-1.aliyuncs.com"]);
        for bad in ["", "a.b", "evil.test/", "A", "a b", &"x".repeat(65)] {
            assert!(names(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn the_host_inside_the_vpc_comes_first_then_the_public_one_at_once_and_who_answered_is_kept() {
        let mut hosts = Hosts::new(&Endpoint::Auto, "cn-hangzhou");
        let host = |hosts: &Hosts| hosts.current().and_then(Url::host_str).unwrap().to_owned();
        assert_eq!(host(&hosts), "ess-vpc.cn-hangzhou.aliyuncs.com");
        assert!(hosts.failed());
        assert_eq!(host(&hosts), "ess.aliyuncs.com");
        hosts.answered();
        (0..PATIENCE).for_each(|_| hosts.silent());
        assert_eq!(host(&hosts), "ess-vpc.cn-hangzhou.aliyuncs.com");
    }

    #[test]
    fn the_configuration_goes_before_the_environment_and_neither_may_be_plain_http() {
        let url = |text: &str| Endpoint::Url(Url::parse(text).unwrap());
        let settle = |endpoint: &Endpoint, text: &str| settle(endpoint, &HashMap::from([(ENDPOINT_VARIABLE.to_owned(), text.to_owned())]));
        assert_eq!(settle(&Endpoint::Auto, "").unwrap(), Endpoint::Auto);
        assert_eq!(settle(&Endpoint::Auto, "ess-vpc.cn-beijing.aliyuncs.com").unwrap(), url("https://ess-vpc.cn-beijing.aliyuncs.com"));
        assert_eq!(settle(&Endpoint::Auto, "http://127.0.0.1:8").unwrap(), url("http://127.0.0.1:8"));
        assert_eq!(settle(&url("https://a.test"), "https://b.test").unwrap(), url("https://a.test"));
        for bad in ["http://ess.aliyuncs.com", "ftp://127.0.0.1", "https://a:b@ess.test", "://"] {
            assert!(settle(&Endpoint::Auto, bad).unwrap_err().contains(ENDPOINT_VARIABLE), "{bad}");
        }
    }
}
