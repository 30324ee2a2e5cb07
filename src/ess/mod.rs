//! The client of Alibaba Cloud's Auto Scaling (ESS, API 2022-02-22), for instances that a lifecycle hook holds: its operations, its
//! hosts, and the search for the action that waits for this instance. How it is spoken to is the room [`crate::rpc`].

mod action;
mod client;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod hosts;
mod operations;

pub use client::{Client, Error};
pub use hosts::ENDPOINT_VARIABLE;
