//! How services of Alibaba Cloud are reached: which hosts, over which way, and whose time certificates are judged by.

use serde::{Deserialize, Serialize};

/// Where ROS is.
#[derive(Clone, Debug, PartialEq)]
pub enum Endpoint {
    /// The hosts of Alibaba Cloud, as home and network say.
    Auto,
    /// Exactly this one. `http` only on loopback.
    Url(reqwest::Url),
}

/// `[ros] home`: at which site the account was registered. ROS is a central service, its hosts follow the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Home {
    /// The China site, and the international one where that does not know the stack or the access key.
    Auto,
    /// The China site, and no other host.
    China,
    /// The international site, and no other host.
    International,
}

/// `[ros] network`: from where ROS is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The host inside the VPC, then the public one; the other way round in regions that list no VPC host.
    Auto,
    /// Only inside the VPC.
    Vpc,
    /// Only over the internet.
    Public,
}

/// `[clock] trust`: whose time certificates of ROS and its companions are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockTrust {
    /// This host's clock.
    System,
    /// The metadata service's, where it is known.
    Metadata,
}
