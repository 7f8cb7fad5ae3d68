"""Tulle in a Kubernetes cluster: its manifests (manifests.py), and kubectl, with the user's own rights (kubectl.py)."""
