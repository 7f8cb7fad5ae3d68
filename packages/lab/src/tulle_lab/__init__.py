"""Tulle's lab: pods as network namespaces, a whole mesh on one machine."""
