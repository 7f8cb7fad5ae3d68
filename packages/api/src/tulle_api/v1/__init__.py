"""Generated from proto/tulle/v1 by scripts/proto. Do not edit."""
