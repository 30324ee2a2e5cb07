//! How observations commit a check to a state: consecutive results, start period, terminal streak.
