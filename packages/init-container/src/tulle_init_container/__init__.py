"""Sends a pod's TCP traffic through its proxy: renders, applies and verifies the firewall rules.

Standard library only, because a pod's start waits for this program. Read `rules.py` first: it is the whole
policy. `render.py` turns it into iptables-restore input, `apply.py` hands that to the kernel, `verify.py`
dials through it to see that it works, `main.py` ties them together.
"""
