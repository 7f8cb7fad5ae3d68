"""Tulle's admission controller: injects the proxy and validates policies."""
