"""What the lab knows of Kubernetes' kinds: their fields, their defaults, and what it refuses, by name."""
