"""The only I/O of the data plane: listeners, sockets, pools, the control stream, the admin port.

What decides is elsewhere (wire, logic, layers); what is here moves bytes and owns descriptors and tasks.
"""
