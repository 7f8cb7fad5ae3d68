"""The gRPC services: what proxies talk to.

session.py    one proxy: what it wants, was sent, runs (pure)      proxies.py    all of them, and fan-out
discovery.py  Discovery.Watch                                      telemetry.py  Telemetry.Report
quota.py      Quota.Lease (decided in core/quota.py)
server.py     the server itself
"""
