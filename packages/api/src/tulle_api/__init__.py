"""Generated protobuf messages and gRPC stubs of Tulle's services; nothing else."""
