"""Tulle next to Envoy, HAProxy and nginx, in one run on one machine (`make bench`; scripts/bench makes the sandbox).

    world.py       network namespaces and the processes in them; nothing here is a process of ours for longer
    subjects/      each proxy: its configuration, its start, and the addresses that clients dial
    load/          clients and the backend, as programs of their own, for the client's core
    rows.py        what is measured: one table
    measure.py     one sample: CPU before, load, CPU after
    ratios.py      samples -> ratios to Envoy (pure)
    report.py      the table that is printed; svg.py and document.py: docs/performance.md (pure)
    figures.py     a run's figures with the bars of their goals (`python -m bench.figures`)
    profile/       what one request costs, layer by layer (`make bench-profile`)

Absolute figures are this machine's and this hour's. Only ratios from one run mean anything, and only those are told.
"""
