//! Health checks of other nodes: over TCP, HTTP and gRPC.
