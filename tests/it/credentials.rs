//! Credentials and the metadata service.

mod cache;
mod files;
mod metadata;
