"""`tulle demo`: the whole mesh on this machine, as a story of which every claim is checked.

    story.py      the chapters in their order, and what happens when one of them is not true
    stage.py      where it is told: headings, commands shown before their output, claims
    lab.py        `tulle lab`, as a reader would type it
    traffic.py    what app-a counted of its own calls (pure)
    hops.py       one request's way, from the access logs of both proxies (pure)
    chapters/     one module a chapter: `tell(scene)`
"""
