//! The API gateway before ROS: which keys exist, whether a request is fresh, and whether it was seen before.
//!
//! Order of the checks: key, security token, time, signature, nonce. Only a request that passed all of them uses up its nonce.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

use crate::clock::{Moment, zulu};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::secret::Secret;
use crate::signature::{self, Claim};

/// How far a request's time may be from the server's (page 48054).
const WINDOW: time::Duration = time::Duration::minutes(15);

/// Nonces remembered; beyond that the oldest are forgotten.
const NONCES_KEPT: usize = 100_000;

/// Temporary keys remembered; beyond that the oldest are forgotten and become unknown.
const KEYS_KEPT: usize = 256;

/// The metadata service hands out a new key this long before the old one expires (ECS item list).
const RENEW_BEFORE: time::Duration = time::Duration::minutes(30);

/// An access key that the gateway knows.
#[derive(Debug, Clone)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) token: Option<Secret>,
    pub(crate) issued: Moment,
    pub(crate) expires: Option<Moment>,
    pub(crate) holder: Holder,
}

/// To whom a key was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Whoever configured the sandbox.
    Configured,
    /// The instance, through the metadata service.
    Instance,
    /// Who asks the credentials URI.
    CredentialsUri,
    /// A session of STS.
    Session,
}

#[derive(Debug)]
pub(crate) struct Gate {
    configured: AccessKey,
    issued: VecDeque<AccessKey>,
    /// Seconds that a newly issued temporary key lives.
    pub(crate) lifetime: time::Duration,
    nonces: HashSet<String>,
    nonce_order: VecDeque<String>,
}

impl Gate {
    pub(crate) fn new(configured: AccessKey) -> Self {
        Self {
            configured,
            issued: VecDeque::new(),
            lifetime: time::Duration::hours(6),
            nonces: HashSet::new(),
            nonce_order: VecDeque::new(),
        }
    }

    /// Judges a request. `told` is the clock as the outside is told, with its skew; `now` the one without.
    pub(crate) fn judge(&mut self, request: &Request, claim: &Claim, now: Moment, told: Moment) -> Result<(), Refusal> {
        let key = self
            .key(&claim.access_key_id)
            .ok_or_else(|| Refusal::not_found("InvalidAccessKeyId.NotFound", "Specified access key is not found."))?;
        self.check_token(key, claim.security_token.as_ref(), now)?;
        let off = claim.at - told;
        if off > WINDOW || off < -WINDOW {
            let message = format!(
                "Specified time stamp or date value is expired. Server time is {}, request time is {}.",
                zulu(told),
                zulu(claim.at)
            );
            return Err(Refusal::bad_request("InvalidTimeStamp.Expired", message));
        }
        signature::verify(request, claim, &key.secret)?;
        self.use_nonce(&claim.access_key_id, &claim.nonce)
    }

    /// The secret of a key, if it comes with its token and both are good now. For services that use no nonces.
    pub(crate) fn secret_for(&self, id: &str, token: Option<&Secret>, now: Moment) -> Result<Secret, Refusal> {
        let unknown = || Refusal::not_found("InvalidAccessKeyId.NotFound", "Specified access key is not found.");
        let key = self.key(id).ok_or_else(unknown)?;
        self.check_token(key, token, now)?;
        Ok(key.secret.clone())
    }

    fn check_token(&self, key: &AccessKey, token: Option<&Secret>, now: Moment) -> Result<(), Refusal> {
        match (&key.token, token) {
            (None, None) => {}
            (Some(_), None) => {
                return Err(Refusal::bad_request("MissingSecurityToken", "SecurityToken is mandatory for this action."));
            }
            (Some(known), Some(given)) if known == given => {}
            (_, Some(given)) if self.keys().any(|other| other.token.as_ref() == Some(given)) => {
                let message = "The specified SecurityToken does not belong to the specified access key.";
                return Err(Refusal::bad_request("InvalidSecurityToken.MismatchWithAccessKey", message));
            }
            (_, Some(_)) => {
                return Err(Refusal::bad_request("InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed."));
            }
        }
        if key.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::bad_request("InvalidSecurityToken.Expired", "Specified SecurityToken is expired."));
        }
        Ok(())
    }

    fn keys(&self) -> impl Iterator<Item = &AccessKey> {
        std::iter::once(&self.configured).chain(&self.issued)
    }

    fn key(&self, id: &str) -> Option<&AccessKey> {
        self.keys().find(|key| key.id == id)
    }

    fn use_nonce(&mut self, key_id: &str, nonce: &str) -> Result<(), Refusal> {
        let used = format!("{key_id} {nonce}");
        if !self.nonces.insert(used.clone()) {
            return Err(Refusal::bad_request("SignatureNonceUsed", "Specified signature nonce was used already."));
        }
        self.nonce_order.push_back(used);
        if self.nonce_order.len() > NONCES_KEPT
            && let Some(oldest) = self.nonce_order.pop_front()
        {
            self.nonces.remove(&oldest);
        }
        Ok(())
    }

    /// The temporary key that a holder gets now: a new one when the last is near its end.
    pub(crate) fn issue(&mut self, holder: Holder, now: Moment) -> AccessKey {
        let margin = RENEW_BEFORE.min(self.lifetime / 4);
        if let Some(last) = self.issued.iter().rev().find(|key| key.holder == holder)
            && last.expires.is_some_and(|expires| expires - now > margin)
        {
            return last.clone();
        }
        self.add(holder, "", self.lifetime, now)
    }

    /// Issues new temporary keys at once to instance and credentials URI; the old ones work on until they expire.
    pub(crate) fn rotate(&mut self, now: Moment) {
        for holder in [Holder::Instance, Holder::CredentialsUri] {
            self.add(holder, "", self.lifetime, now);
        }
    }

    /// What all keys that were issued keep secret.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        self.issued.iter().flat_map(|key| [Some(key.secret.clone()), key.token.clone()]).flatten().collect()
    }

    /// Issues the key of a session in a role.
    pub(crate) fn assume(&mut self, role: &str, lifetime: time::Duration, now: Moment) -> AccessKey {
        self.add(Holder::Session, &format!("{role}."), lifetime, now)
    }

    fn add(&mut self, holder: Holder, mark: &str, lifetime: time::Duration, now: Moment) -> AccessKey {
        let key = AccessKey {
            id: format!("STS.{mark}{}", Uuid::new_v4().simple()),
            secret: Secret::new(Uuid::new_v4().simple().to_string()),
            // Characters that real tokens have and that go wrong when encoded carelessly.
            token: Some(Secret::new(format!("CAIS+{}/{}==", Uuid::new_v4().simple(), Uuid::new_v4().simple()))),
            issued: now,
            expires: Some(now + lifetime),
            holder,
        };
        if self.issued.len() >= KEYS_KEPT {
            self.issued.pop_front();
        }
        self.issued.push_back(key.clone());
        key
    }

    /// Every temporary key issued so far, and the configured one if it has a token, expires at once.
    pub(crate) fn expire_all(&mut self, now: Moment) {
        for key in std::iter::once(&mut self.configured).chain(&mut self.issued) {
            if key.token.is_some() {
                key.expires = Some(now);
            }
        }
    }

    /// One key expires at once, if it is a temporary one.
    pub(crate) fn expire(&mut self, id: &str, now: Moment) {
        for key in std::iter::once(&mut self.configured).chain(&mut self.issued) {
            if key.id == id && key.token.is_some() {
                key.expires = Some(now);
            }
        }
    }
}
