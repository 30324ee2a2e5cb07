//! behaviour
mod probe;
