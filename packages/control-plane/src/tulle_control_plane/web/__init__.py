"""The HTTP API that the CLI and the dashboard read. README.md documents its JSON.

app.py   routes and parameters        rows.py  from the control plane's state to JSON
rehearsal.py  what objects would change
serve.py  TCP and unix sockets
"""
