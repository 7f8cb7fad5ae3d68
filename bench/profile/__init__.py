"""What one request costs inside the proxy, layer by layer and without sockets (`make bench-profile`).

    canned.py      channels that always have the same bytes at hand
    layers.py      the proxy's own parts, put together once for each line of the table: each has one layer more
    parts.py       single functions of the codec
    child.py       runs them, in a process with the proxy's own interpreter flags: measures time, or is counted
    callgrind.py   the same child under valgrind: instructions, which do not depend on who else uses the machine
"""
