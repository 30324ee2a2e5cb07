//! The way of a request to SMQ: who asks, then the operation; a poll of an empty queue is held until a message comes, its time is over, or its
//! client has gone. It wakes when something changes or is due by the sandbox's clock, and not otherwise.

use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::api::{self, Call, Context, Step};
use super::signature;
use crate::answer::{self, Answer};
use crate::api::{Scripted, Seen};
use crate::clock::Moment;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::signature::Scheme;
use crate::switches::SmqSignature;
use crate::world::{Inner, World};

/// How far a request's time may be from the server's.
const WINDOW: time::Duration = time::Duration::minutes(15);

/// The only version of the API.
const VERSION: &str = "2015-06-06";

/// Answers a request; none: the client went away while it was held.
pub(crate) async fn answer(
    world: &World,
    request: &Request,
    scripted: Option<&Scripted>,
    mut gone: watch::Receiver<()>,
) -> Option<(Answer, Seen)> {
    let since = world.clock.now();
    let id = request_id();
    let mut seen = Seen::default();
    let mut bell = world.faults_changed.subscribe();
    let admitted = admit(&mut world.lock(), request, scripted, (since, world.clock.told()), &mut seen);
    let step = |world: &World| -> Result<Step, Refusal> {
        let mut inner = world.lock();
        let inner = &mut *inner;
        let call = admitted.clone().and_then(|()| Call::of(request).ok_or_else(no_operation))?;
        let account = inner.metadata.account();
        let context = Context { account: &account, switches: &inner.switches, now: world.clock.now(), since };
        api::run(&mut inner.smq, request, &call, &context)
    };
    let mut answer = loop {
        bell.mark_unchanged();
        let wake = match step(world) {
            Ok(Step::Answer(answer)) => break answer,
            Err(refusal) => break api::refused(&refusal, &id, request),
            Ok(Step::Hold { wake }) => wake,
        };
        let pause = Duration::try_from(wake - world.clock.now()).unwrap_or(Duration::ZERO);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = bell.changed() => changed.ok()?,
            _ = gone.changed() => return None,
        }
    };
    answer.headers.push((answer::SMQ_REQUEST_ID_HEADER.to_owned(), id));
    answer.headers.push(("x-mns-version".to_owned(), VERSION.to_owned()));
    Some((answer, seen))
}

fn no_operation() -> Refusal {
    Refusal::bad_request("InvalidRequestURL", "The request URL or method is not valid.")
}

/// Whether the request may run at all: key, token, time, signature, version, what a fault says, permission.
fn admit(
    inner: &mut Inner,
    request: &Request,
    scripted: Option<&Scripted>,
    (now, told): (Moment, Moment),
    seen: &mut Seen,
) -> Result<(), Refusal> {
    let claim = signature::claim(request)?;
    let v4 = claim.scheme == Scheme::Mns4HmacSha256;
    let taken = match inner.switches.smq_signature {
        SmqSignature::Both => true,
        SmqSignature::V2 => !v4,
        SmqSignature::V4 => v4,
    };
    if !taken {
        return Err(Refusal::bad_request("InvalidAuthorizationHeader", "The signature version is not supported here."));
    }
    let secret = inner.gate.secret_for(&claim.access_key_id, claim.security_token.as_ref(), now).map_err(|refusal| as_smq(&refusal))?;
    let off = claim.at - told;
    if off > WINDOW || off < -WINDOW {
        return Err(Refusal::new(408, "TimeExpired", "The http request you sent is expired."));
    }
    signature::verify(request, &claim, &secret)?;
    match request.header("x-mns-version").as_deref() {
        Some(VERSION) => {}
        Some(_) => return Err(Refusal::bad_request("InvalidVersionHeader", "The x-mns-version header is not valid.")),
        None => return Err(Refusal::bad_request("MissingVersionHeader", "The x-mns-version header is missing.")),
    }
    seen.verified = true;
    if let Some(Scripted::Gateway(refusal)) = scripted {
        return Err(refusal.clone());
    }
    Call::of(request).ok_or_else(no_operation)?.permitted(&inner.switches)
}

/// What the gateway of ROS says of keys and tokens, in the words of SMQ. Those for tokens are not documented.
fn as_smq(refusal: &Refusal) -> Refusal {
    let (code, message) = match refusal.code.as_str() {
        "InvalidAccessKeyId.NotFound" => ("InvalidAccessKeyId", "The AccessKey Id you provided is not exist."),
        "InvalidSecurityToken.Expired" => ("SecurityTokenExpired", "The security token you provided has expired."),
        _ => ("InvalidSecurityToken", "The security token you provided is missing or not valid."),
    };
    Refusal::new(403, code, message)
}

/// In the form of the service.
fn request_id() -> String {
    let id = Uuid::new_v4().simple().to_string().to_uppercase();
    id.get(..24).unwrap_or_default().to_owned()
}
