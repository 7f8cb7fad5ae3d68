"""The node's part: pods become namespaces and processes, are probed, restarted and stopped."""
