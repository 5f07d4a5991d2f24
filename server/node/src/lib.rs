//! The data node's shell: sockets, disk, links and the agent.
