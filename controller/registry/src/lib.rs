//! Groups, nodes, epochs, detection and failover as pure state machines.
