//! The Security Token Service: a role in exchange for other credentials, or for a token of an identity provider.
//!
//! AssumeRole is signed with HMAC-SHA1, as the vendor's credential SDKs do it; AssumeRoleWithOIDC is not signed at all. Hosts are
//! `sts.aliyuncs.com`, `sts.REGION.aliyuncs.com` and, within VPCs, `sts-vpc.REGION.aliyuncs.com`; without a region there is only the
//! central one. One attempt, and one more at once if the clock of this host was found to be wrong; then the cache waits.

use super::around::Around;
use super::document::{self, Parsed};
use super::source::Refused;
use super::{Found, Keys};
use crate::clock::Moment;
use crate::plan::{self, SignatureScheme};
use crate::rpc::{Action, Body, Caller, Failed, Operation, Reach, Service, http_client};
use crate::secret::Secret;
use crate::signal::Class;
use reqwest::Url;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// One exchange with STS (the SDKs: 5 s to connect, 10 s to read).
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a session is asked to live, in seconds, and the least that STS allows.
pub(super) const DEFAULT_SECONDS: u32 = 3600;
const LEAST_SECONDS: u32 = 900;

/// A role that is to be assumed.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) session_name: String,
    pub(super) seconds: u32,
    pub(super) policy: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) host: Url,
}

/// What a profile says about a role; what is missing comes from the environment.
#[derive(Debug, Default)]
pub(super) struct RoleSettings {
    pub(super) arn: Option<String>,
    pub(super) session_name: Option<String>,
    pub(super) seconds: Option<u32>,
    pub(super) policy: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) region: Option<String>,
    pub(super) vpc: Option<bool>,
}

impl RoleSettings {
    /// The role, if it is known which.
    pub(super) fn complete(self, configured: &plan::Sts, around: &Around) -> Result<Role, Refused> {
        let arn = self.arn.or_else(|| around.role_arn.clone());
        let arn = arn.ok_or_else(|| Refused::new("it names no role (ram_role_arn), and ALIBABA_CLOUD_ROLE_ARN is not set"))?;
        let seconds = self.seconds.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_SECONDS);
        if seconds < LEAST_SECONDS {
            return Err(Refused::new(format!("it asks for {seconds}s, and STS gives no session of less than {LEAST_SECONDS}s")));
        }
        let session_name = self.session_name.or_else(|| around.session_name.clone());
        let host = host(configured, self.region, self.vpc, around)?;
        Ok(Role {
            arn,
            session_name: session_name.unwrap_or_else(|| "ros-signal-agent".to_owned()),
            seconds,
            policy: self.policy,
            external_id: self.external_id,
            host,
        })
    }
}

/// The host: what is configured goes before what the profile says, and that before the environment.
fn host(configured: &plan::Sts, region: Option<String>, vpc: Option<bool>, around: &Around) -> Result<Url, Refused> {
    if let Some(endpoint) = &configured.endpoint {
        return Ok(endpoint.clone());
    }
    if let Some(endpoint) = &around.sts_endpoint {
        return overridden(endpoint);
    }
    let vpc = configured.vpc.or(vpc).unwrap_or(around.sts_vpc);
    let name = match configured.region.clone().or(region).or_else(|| around.sts_region.clone()) {
        None => "sts.aliyuncs.com".to_owned(),
        Some(region) if !is_region(&region) => return Err(Refused::new("the region of STS is not a region ID such as cn-hangzhou")),
        Some(region) => format!("{}.{region}.aliyuncs.com", if vpc { "sts-vpc" } else { "sts" }),
    };
    Url::parse(&format!("https://{name}")).map_err(|_| Refused::new(format!("{name} is not a host")))
}

/// It becomes part of a host name: nothing may lead elsewhere.
fn is_region(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// `STS_ENDPOINT`. Plain http would show what is signed to everybody on the way.
pub(super) fn overridden(endpoint: &str) -> Result<Url, Refused> {
    let bad = |why: &str| Refused::new(format!("STS_ENDPOINT {why}")).hinting("write a host, such as sts.cn-hangzhou.aliyuncs.com");
    let text = if endpoint.contains("://") { endpoint.to_owned() } else { format!("https://{endpoint}") };
    let url = Url::parse(&text).map_err(|_| bad("is not a host"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        _ if !is_bare || url.host_str().is_none() => Err(bad("is more than a host")),
        "https" => Ok(url),
        "http" if crate::transport::is_loopback(&url) => Ok(url),
        "http" => Err(bad("may use plain http only on loopback")),
        _ => Err(bad("is not a host")),
    }
}

/// Speaks to STS. Makes its HTTP clients when they are needed first: most hosts never need one.
#[derive(Debug, Default)]
pub(super) struct Client {
    encrypted: Mutex<Option<Arc<Caller>>>,
    plain: Mutex<Option<Arc<Caller>>>,
}

impl Client {
    fn caller(&self, host: &Url, reach: &Reach) -> Result<Arc<Caller>, Refused> {
        let is_plain = host.scheme() == "http";
        let place = if is_plain { &self.plain } else { &self.encrypted };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = place.as_ref() {
            return Ok(Arc::clone(caller));
        }
        let http = http_client(is_plain, reach).map_err(|error| Refused::new(error.to_string()))?;
        let caller = Arc::new(Caller::without_credentials(http, SignatureScheme::HmacSha1));
        *place = Some(Arc::clone(&caller));
        Ok(caller)
    }

    /// The credentials of `role`, for those who hold `keys`.
    pub(super) async fn assume(&self, role: &Role, keys: Keys, source: &str, reach: &Reach) -> Result<Found, Refused> {
        let hint = format!(
            "let the key {} do sts:AssumeRole on {}, and let the role's trust policy name who holds that key",
            keys.access_key_id(),
            role.arn
        );
        let operation = role.operation("AssumeRole", None);
        self.call(&operation, role, (Arc::new(keys), None), source, reach).await.map_err(|refused| match refused.class {
            Some(Class::Permission) => refused.hinting(hint),
            _ => refused,
        })
    }

    /// The credentials of `role`, for whom the identity provider has given `token`.
    pub(super) async fn assume_with_token(
        &self,
        role: &Role,
        provider_arn: &str,
        token: &Secret,
        source: &str,
        reach: &Reach,
    ) -> Result<Found, Refused> {
        let operation = role.operation("AssumeRoleWithOIDC", Some(provider_arn));
        // Nothing is signed with these; they keep the token out of messages.
        let masks = Keys {
            access_key_id: String::new(),
            access_key_secret: Secret::default(),
            security_token: Some(token.clone()),
            source: source.to_owned(),
        };
        let hint = format!("let the trust policy of {} name {provider_arn} and this token's issuer, audience and subject", role.arn);
        let sent = (Arc::new(masks), Some(("OIDCToken", token)));
        self.call(&operation, role, sent, source, reach).await.map_err(|refused| match refused.class {
            Some(Class::Permission | Class::Permanent | Class::Credentials) => refused.hinting(hint),
            _ => refused,
        })
    }

    async fn call(
        &self,
        operation: &Operation,
        role: &Role,
        (keys, unsigned): (Arc<Keys>, Option<(&str, &Secret)>),
        source: &str,
        reach: &Reach,
    ) -> Result<Found, Refused> {
        let caller = self.caller(&role.host, reach)?;
        let mut once_more = true;
        loop {
            let until = (Instant::now() + TIMEOUT, TIMEOUT);
            match caller.attempt_with(Arc::clone(&keys), unsigned, operation, &role.host, until).await {
                Ok(body) => return issued(&body, source).map(|parsed| found(parsed, &caller)),
                // The clock of STS was measured by now.
                Err(Failed::Refused(refused)) if refused.action == Action::ResyncClock && once_more => once_more = false,
                Err(failed) => return Err(refused(failed, operation)),
            }
        }
    }
}

impl Role {
    fn operation(&self, action: &'static str, provider_arn: Option<&str>) -> Operation {
        let mut parameters = vec![
            ("RoleArn", self.arn.clone()),
            ("RoleSessionName", self.session_name.clone()),
            ("DurationSeconds", self.seconds.to_string()),
        ];
        parameters.extend(self.policy.clone().map(|policy| ("Policy", policy)));
        parameters.extend(self.external_id.clone().map(|id| ("ExternalId", id)));
        parameters.extend(provider_arn.map(|arn| ("OIDCProviderArn", arn.to_owned())));
        let resource = self.arn.rsplit(':').next().unwrap_or_default().to_owned();
        Operation { service: Service::Sts, action, parameters, resource }
    }
}

fn issued(body: &Body, source: &str) -> Result<Parsed, Refused> {
    let credentials = body.member("Credentials").map(Secret::new);
    let credentials = credentials.ok_or_else(|| Refused::new("the answer of STS has no Credentials"))?;
    document::issued(credentials.expose(), source).map_err(|why| Refused::new(format!("the Credentials of STS: {why}")))
}

fn found((keys, expires_ms): Parsed, caller: &Caller) -> Found {
    let source_ms = caller.skew_ms().map(|skew| Moment::now().wall_ms.saturating_add(skew));
    Found { keys, expires_ms, source_ms, ask_again: None }
}

fn refused(failed: Failed, operation: &Operation) -> Refused {
    let refusal = failed.into_refusal();
    Refused { why: format!("{} failed: {}", operation.action, refusal.message), hint: refusal.hint, class: Some(refusal.class) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Metadata;
    use std::collections::HashMap;

    fn around(variables: &[(&str, &str)]) -> Around {
        let settings = plan::Instance { id: None, metadata_url: Url::parse("http://127.0.0.1:1").unwrap(), allow_plain_metadata: false };
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Around::new(&environment, &Arc::new(Metadata::new(&settings, &HashMap::new()).unwrap()))
    }

    fn name(configured: &plan::Sts, region: Option<&str>, vpc: Option<bool>, variables: &[(&str, &str)]) -> String {
        match host(configured, region.map(str::to_owned), vpc, &around(variables)) {
            Ok(url) => url.to_string(),
            Err(refused) => refused.why,
        }
    }

    #[test]
    fn hosts_are_central_regional_or_of_vpcs_and_configuration_goes_before_profile_before_environment() {
        let none = plan::Sts::default();
        const REGION: (&str, &str) = ("ALIBABA_CLOUD_STS_REGION", "cn-beijing");
        const VPC: (&str, &str) = ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "True");
        assert_eq!(name(&none, None, None, &[]), "https://sts.aliyuncs.com/");
        assert_eq!(name(&none, None, Some(true), &[VPC]), "https://sts.aliyuncs.com/");
        assert_eq!(name(&none, None, None, &[REGION]), "https://sts.cn-beijing.aliyuncs.com/");
        assert_eq!(name(&none, Some("cn-hangzhou"), None, &[REGION, VPC]), "https://sts-vpc.cn-hangzhou.aliyuncs.com/");
        assert_eq!(name(&none, Some("cn-hangzhou"), Some(false), &[VPC]), "https://sts.cn-hangzhou.aliyuncs.com/");
        let configured = plan::Sts { region: Some("eu-central-1".into()), vpc: Some(false), endpoint: None };
        assert_eq!(name(&configured, Some("cn-hangzhou"), Some(true), &[REGION]), "https://sts.eu-central-1.aliyuncs.com/");
    }

    #[test]
    fn an_endpoint_overrides_all_and_never_leaks_a_request_over_plain_http() {
        let none = plan::Sts::default();
        let with = |endpoint: &str| name(&none, Some("cn-hangzhou"), None, &[("STS_ENDPOINT", endpoint)]);
        assert_eq!(with("sts.ap-southeast-1.aliyuncs.com"), "https://sts.ap-southeast-1.aliyuncs.com/");
        assert_eq!(with("https://sts.aliyuncs.com"), "https://sts.aliyuncs.com/");
        assert_eq!(with("http://127.0.0.1:8080"), "http://127.0.0.1:8080/");
        assert!(with("http://sts.aliyuncs.com").contains("plain http only on loopback"));
        for bad in ["https://a@b", "sts.aliyuncs.com/x", "ftp://sts.aliyuncs.com", "https://", "sts.aliyuncs.com?a=b"] {
            assert!(with(bad).starts_with("STS_ENDPOINT"), "{bad}");
        }
        assert!(name(&none, Some("evil.example/"), None, &[]).contains("not a region ID"));
    }
}
