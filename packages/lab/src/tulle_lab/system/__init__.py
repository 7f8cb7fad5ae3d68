"""Manifests of Tulle's own components, as the lab runs them."""
