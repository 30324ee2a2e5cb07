//! Where events come in.

mod spool;
