"""Tulle's sample application: an ordinary HTTP server that says who answered, and whose faults can be turned on.

One program, many roles: app-a calls app-b; app-b2 is app-b at version v2, its canary. It knows nothing of the
mesh, and that is the point. Standard library only. Read `app.py` for what it answers, `knobs.py` for its faults.
"""
