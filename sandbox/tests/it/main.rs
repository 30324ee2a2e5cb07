//! Behaviour of the sandbox as a client sees it: over real sockets, with requests signed here.

// `cfg(test)` tells clippy that functions beside the tests are tests too.
#[cfg(test)]
mod binary;
#[cfg(test)]
mod client;
#[cfg(test)]
mod control;
#[cfg(test)]
mod events;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod handle;
#[cfg(test)]
mod life;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod openssl;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod python;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod scaling;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod smq;
#[cfg(test)]
mod smq_python;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod sts;
