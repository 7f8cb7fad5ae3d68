"""`tulle canary`: a Service's callers are moved to another one step by step, and back when a bar is missed.

    plan.py      what was asked for: steps and bars, and how they are read from a command line or an annotation
    machine.py   the decisions: hold, advance, finish, roll back (pure, the time is passed in)
    weights.py   a rule's backendRefs with a share moved (pure)
    route.py     the HTTPRoute of a canary: begun, at a step, as it was found; its state is an annotation of it (pure)
    objects.py   where objects are: what an adapter does, and the lab's
    cluster_objects.py   a cluster's, through kubectl
    seen.py      what callers saw of the canary, from the control plane
    follow.py    looks, decides, writes, tells; keeps nothing in memory, so that it can be killed at any time
"""
