//! ros-signal-agent finds out whether this ECS host really works and tells Alibaba Cloud ROS so: once, correctly and in time.
//!
//! The map of the house, top to bottom (dependencies point downwards only):
//!
//! - [`daemon`] drives: it performs the effects of the core and feeds it inputs.
//! - [`agent`] is the core, a pure function `step(now, input) -> effects`; [`verdict`], [`signal`], [`check`] and [`stack`] are the
//!   pure rooms it is made of.
//! - [`plan`] is what the agent runs; [`config`] makes it from files.
//! - [`events`] brings hints that the stack has changed; [`hooks`] runs operators' commands.
//! - [`report`] completes and keeps what is told before a FAILURE.
//! - [`probe`], [`ledger`], [`ros`] and [`ess`] (spoken to as [`rpc`] does), [`handle`], [`credentials`], [`instance`], [`systemd`] and [`control`] touch the outside world.
//!
//! `docs/architecture.md` says why the walls stand where they do.

pub mod agent;
pub mod alarm;
mod apart;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod credentials;
pub mod daemon;
pub mod ess;
pub mod events;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod handle;
pub mod hooks;
pub mod instance;
pub mod interrupt;
pub mod ledger;
pub mod logging;
pub mod metrics;
pub mod plan;
pub mod probe;
pub mod process;
pub mod report;
pub mod retry;
pub mod ros;
pub mod rpc;
pub mod secret;
pub mod signal;
pub mod stack;
pub mod systemd;
pub mod tls;
mod transport;
pub mod verdict;
