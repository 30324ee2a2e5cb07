//! The hosts of ROS and which regions have one inside the VPC: the table `endpoints.json`, as data.

use crate::plan::{Home, Network};
use reqwest::Url;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::OnceLock;

/// `endpoints.json`, as far as it is used. Its members that begin with `_` say where it comes from.
#[derive(Debug, Deserialize)]
struct Table {
    homes: Homes,
    /// The VPC host listed for a region. Which of the two it names contradicts the rule that the host follows the account, so it is
    /// read as: some proxy is there.
    regions: HashMap<String, Option<String>>,
}

#[derive(Debug, Deserialize)]
struct Homes {
    china: HomeHosts,
    international: HomeHosts,
}

#[derive(Debug, Deserialize)]
struct HomeHosts {
    vpc: String,
    public: String,
}

/// The table; a test reads it, so that it is never missing.
fn table() -> Option<&'static Table> {
    static TABLE: OnceLock<Option<Table>> = OnceLock::new();
    TABLE.get_or_init(|| serde_json::from_str(include_str!("endpoints.json")).ok()).as_ref()
}

/// The hosts to ask, by home, the VPC host first. Only those that `home` and `network` name.
pub(super) fn of(home: Home, network: Network) -> Vec<Vec<Url>> {
    let Some(table) = table() else { return Vec::new() };
    let homes = match home {
        Home::Auto => vec![&table.homes.china, &table.homes.international],
        Home::China => vec![&table.homes.china],
        Home::International => vec![&table.homes.international],
    };
    let hosts = |home: &HomeHosts| {
        let names = match network {
            Network::Auto => vec![&home.vpc, &home.public],
            Network::Vpc => vec![&home.vpc],
            Network::Public => vec![&home.public],
        };
        names.into_iter().filter_map(|name| Url::parse(&format!("https://{name}")).ok()).collect()
    };
    homes.into_iter().map(hosts).collect()
}

/// Whether the VPC host is worth the first attempt for a stack in `region`: not where it is known that none is listed. A region that
/// is not in the table is newer than it, and new regions have one.
pub(super) fn vpc_first(region: &str) -> bool {
    table().and_then(|table| table.regions.get(region)).is_none_or(Option::is_some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(home: Home, network: Network) -> Vec<Vec<String>> {
        let name = |url: &Url| {
            assert_eq!(url.scheme(), "https");
            url.host_str().unwrap().to_owned()
        };
        of(home, network).iter().map(|hosts| hosts.iter().map(name).collect()).collect()
    }

    #[test]
    fn the_table_is_read_whole() {
        let table = table().unwrap();
        assert_eq!(table.regions.len(), 42);
        let without: Vec<_> = table.regions.values().filter(|host| host.is_none()).collect();
        assert_eq!(without.len(), 11);
        let known = ["ros.vpc-proxy.aliyuncs.com", "ros-intl.vpc-proxy.aliyuncs.com"];
        assert!(table.regions.values().flatten().all(|host| known.contains(&host.as_str())));
    }

    #[test]
    fn the_documentation_names_the_regions_without_a_vpc_host() {
        let document = include_str!("../../docs/endpoints.md").replace('\n', " ");
        let (_, list) = document.split_once("Regions without one: ").unwrap();
        let (list, _) = list.split_once('.').unwrap();
        let mut told: Vec<_> = list.split(", ").collect();
        told.sort_unstable();
        let mut known: Vec<_> =
            table().unwrap().regions.iter().filter(|(_, host)| host.is_none()).map(|(region, _)| region.as_str()).collect();
        known.sort_unstable();
        assert_eq!(told, known);
    }

    #[test]
    fn regions_without_a_vpc_host_ask_the_public_one_first_and_unknown_ones_are_taken_to_have_one() {
        for without in ["eu-west-2", "me-east-1", "cn-hangzhou-finance", "us-southeast-1", "cn-wuhan-lr"] {
            assert!(!vpc_first(without), "{without}");
        }
        // The last but one lists the proxy of the international home, for whatever account: some proxy is there.
        for with in ["cn-hangzhou", "ap-southeast-1", "cn-nanjing", "xx-new-1"] {
            assert!(vpc_first(with), "{with}");
        }
    }

    #[test]
    fn home_and_network_leave_only_their_hosts() {
        let china = ["ros.vpc-proxy.aliyuncs.com", "ros.aliyuncs.com"];
        let international = ["ros-intl.vpc-proxy.aliyuncs.com", "ros-intl.aliyuncs.com"];
        assert_eq!(names(Home::Auto, Network::Auto), [china, international]);
        assert_eq!(names(Home::China, Network::Auto), [china]);
        assert_eq!(names(Home::International, Network::Auto), [international]);
        assert_eq!(names(Home::Auto, Network::Public), [["ros.aliyuncs.com"], ["ros-intl.aliyuncs.com"]]);
        assert_eq!(names(Home::International, Network::Vpc), [["ros-intl.vpc-proxy.aliyuncs.com"]]);
    }
}
