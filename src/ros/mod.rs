//! The client of Alibaba Cloud's Resource Orchestration Service (ROS, API 2019-09-10): operations, both signatures, hosts, and what
//! its errors mean. `src/ros/error-codes.json` is the table of errors as data.

mod body;
mod client;
mod codes;
mod endpoint;
mod exchange;
mod refusal;
mod request;
mod sign;
mod time;

pub use client::{Client, Error, ResourceAnswer, StackAnswer};

pub(crate) use time::date_ms;
