"""Tulle's control plane: catalog, streaming configuration, telemetry."""

import os

# gRPC's core writes lines of its own to stderr, and not as JSON; it reads this when it is imported
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
