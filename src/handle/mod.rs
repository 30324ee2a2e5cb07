//! The URL of a wait condition handle: a way to signal without credentials.
//!
//! `document` is what a file, a systemd credential or the stack says of it; `answer` judges what the service answers; `client` makes one
//! attempt. The URL is a bearer secret: whoever has it can signal. It is used as it was given, never altered, and shown nowhere.

mod answer;
mod client;
mod document;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;

pub use client::{Client, Message};
pub use document::{Document, Invalid};
