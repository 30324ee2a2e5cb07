//! What all RPC-style services of Alibaba Cloud share (ROS, ESS and STS here): an operation with checked parameters, both signatures,
//! one exchange, bodies, what an error code means, and the server's clock.
//!
//! `src/rpc/error-codes.json` is the table of errors as data. Each call makes one attempt; when to try again is decided in the core.

mod body;
mod caller;
mod codes;
mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod reach;
mod refusal;
mod request;
mod sign;
mod time;

pub(crate) use body::Body;
pub use caller::ClientError;
pub(crate) use caller::{Caller, Failed, host_name};
pub(crate) use codes::{Action, action};
pub use reach::Reach;
pub(crate) use reach::{Http, http_client};
pub(crate) use refusal::{of_trouble, unsent};
pub(crate) use request::{Invalid, Operation, Service, charset, length};
pub(crate) use sign::{encode, hex};
pub(crate) use time::{SKEW_THAT_MATTERS_MS, ServerClock, date_ms, retry_after};
