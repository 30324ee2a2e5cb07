//! The source `queue`: a queue of SMQ (formerly MNS), read by long polling.
mod sign;
mod xml;
