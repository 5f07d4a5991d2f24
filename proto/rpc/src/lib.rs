//! gRPC messages and services of `quorate.v1`, generated from the `.proto` files.
