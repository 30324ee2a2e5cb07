//! Behaviour of the sandbox as a client sees it: over real sockets, with requests signed here.

mod binary;
mod client;
mod control;
mod faults;
mod metadata;
mod operations;
mod python;
mod signatures;
