//! Credentials and the metadata service.

mod cache;
mod day;
mod files;
mod metadata;
mod peer;
mod service;
mod sts;
