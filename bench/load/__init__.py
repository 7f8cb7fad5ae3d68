"""Clients and the backend: programs of their own, `python -m bench.load.NAME`, on the client's core."""
