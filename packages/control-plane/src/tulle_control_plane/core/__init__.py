"""What the control plane knows and decides. Pure: no I/O, no clock, neither kubernetes nor gRPC.

objects.py   what is kept of each Kubernetes object        parse.py        from plain dicts, strictly
store.py     the objects, indexed                          reader.py       reads that remember what they read
services.py  protocols, endpoints, backends                routing.py      routes and weighted backends
policies.py  MeshPolicy: nearest target wins               destination.py  all that a client must know
inbound.py   all that a pod must know to receive           snapshots.py    what changed, for whom
conditions.py  Accepted, ResolvedRefs                      results.py      the values handed out, and versions
"""
