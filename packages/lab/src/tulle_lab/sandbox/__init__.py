"""Namespaces and processes: PID 1 of the lab, what it forks, and the daemon's handle on it."""
