//! Drills over real processes; see `tests/`.
