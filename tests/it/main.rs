//! Behaviour, one module per theme.

mod config_broken;
