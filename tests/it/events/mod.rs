//! Sources of events.

mod http;
