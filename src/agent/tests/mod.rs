//! The core against a model of ROS: stories told step by step, and random histories of faults, crashes and reboots.

mod asides;
mod handles;
mod hooks;
mod identity;
mod operator_hooks;
mod paces;
mod properties;
mod report;
mod stories;
mod targets;
mod throttled;
mod updates;
mod watch;
mod world;
