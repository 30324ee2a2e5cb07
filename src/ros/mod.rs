//! The client of Alibaba Cloud's Resource Orchestration Service (ROS, API 2019-09-10): its operations and its hosts. How it is spoken
//! to is the room [`crate::rpc`].

mod asides;
mod client;
mod endpoint;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod hosts;
mod operations;
mod remembered;
mod watch;

pub(crate) use client::check_endpoint;
pub use client::{Client, Error, ResourceAnswer, StackAnswer};
pub use remembered::Remembered;
