//! gRPC and HTTP over one service layer.
