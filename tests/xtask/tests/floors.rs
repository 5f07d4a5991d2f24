//! The house stands: no pure room depends on a runtime, a socket, a clock or a higher floor.

#[test]
fn every_room_keeps_to_its_floor() {
    let faults = quorate_xtask::floors::check(&quorate_xtask::metadata());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_dependency_is_allowed() {
    let faults = quorate_xtask::deps::check(&quorate_xtask::metadata());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
