//! The source `queue`: a queue of SMQ (formerly MNS, API 2015-06-06), read by long polling.
//!
//! ```text
//! receive (waits up to 30 s) --> body --> events --> Inlet --> taken --> delete, while the handle lives
//!         ^                                            |
//!         +---- empty: at once; refused: by class -----+ full: left where it is, it comes back
//! ```
//!
//! A message is deleted only after the core has taken its hint. What cannot be read as an event is counted and deleted: it would come
//! back for ever. With `topic` the agent owns its queue (`own.rs`): it makes it, subscribes it, shows once a day that it is alive, and takes
//! both away when the stack is gone; what dead instances leave behind is found by [`leftovers`].

mod body;
mod client;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod leftovers;
mod own;
mod place;
mod sign;
mod source;
mod xml;

pub use leftovers::{Leftover, OLDEST_SIGN, leftovers};
pub use own::{PREFIX, Removed, own_name, remove};
pub use source::{Stacks, run};
