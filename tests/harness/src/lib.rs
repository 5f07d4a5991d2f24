//! Starts real processes for tests and drills.
