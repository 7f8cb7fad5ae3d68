"""After a failure: what a person would look at first. The ends are printed below the test, all of it is in a folder.

TULLE_E2E_DIAGNOSTICS names the folder (.pytest-kind/diagnostics); a test's own one is below it.
"""

import os
import re
from pathlib import Path

FOLDER = Path(os.environ.get("TULLE_E2E_DIAGNOSTICS", ".pytest-kind/diagnostics"))
SHOWN = 4000  # characters of each

COMMANDS = (
    ("get", "pods", "-A", "-o", "wide"),
    ("get", "events", "-A", "--sort-by=.lastTimestamp"),
    ("get", "httproutes,grpcroutes,meshpolicies", "-A", "-o", "yaml"),
    ("get", "mutatingwebhookconfigurations", "tulle", "-o", "yaml"),
    ("-n", "tulle-system", "logs", "-l", "app=tulle-control-plane", "--tail=400", "--prefix"),
    ("-n", "tulle-system", "logs", "-l", "app=tulle-admission-controller", "--tail=400", "--prefix"),
    ("-n", "tulle-system", "describe", "pods"),
    ("-n", "demo", "describe", "pods"),
)
_PROXY = """
import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:4191" + sys.argv[1], timeout=5).read().decode())
"""


def collected(kubectl, test):
    """(command, the end of what it said) of each; written whole into the folder of `test`."""
    folder = FOLDER / re.sub(r"[^\w.-]+", "_", test)
    folder.mkdir(parents=True, exist_ok=True)
    said = []
    for arguments in (*COMMANDS, *_of_proxies(kubectl)):
        output = kubectl.run(*arguments)[1]
        title = "kubectl " + " ".join(part if len(part) < 80 else "..." for part in arguments)
        (folder / (re.sub(r"[^\w.-]+", "_", title)[8:120] + ".txt")).write_text(output)
        if arguments in COMMANDS:
            said.append((title, output[-SHOWN:]))
    return [*said, ("all of it, and each proxy's configuration and log", str(folder.absolute()))]


def _of_proxies(kubectl):
    """What each proxy of demo runs, what it counted, and what it said."""
    status, names = kubectl.run("-n", "demo", "get", "pods", "-o", "name")
    for name in names.split() if status == 0 else ():
        for page in ("/config", "/metrics"):
            yield "-n", "demo", "exec", name, "-c", "tulle-proxy", "--", "python", "-c", _PROXY, page
        yield "-n", "demo", "logs", name, "-c", "tulle-proxy", "--tail=2000"
        yield "-n", "demo", "logs", name, "-c", "tulle-init"
