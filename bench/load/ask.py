"""One request, looked at closely: prints its answer's status, fields, length and SHA-256 as JSON.

    ask.py IP PORT [PATH]

How a proxy is shown to work before its speed is measured, since a proxy that fails fast looks good.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import sys


def main() -> None:
    """Ask."""
    ip, port, path = sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or ["/"])[0]
    connection = http.client.HTTPConnection(ip, port, timeout=10)
    connection.request("GET", path, headers={"Host": "app"})
    answer = connection.getresponse()
    body = answer.read()
    print(json.dumps({
        "status": answer.status,
        "fields": {name.lower(): value for name, value in answer.getheaders()},
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }))


if __name__ == "__main__":
    main()
