//! Behaviour, one module per theme.

mod config_broken;
mod config_files;
mod config_plan;
mod config_robust;
mod config_schema;
