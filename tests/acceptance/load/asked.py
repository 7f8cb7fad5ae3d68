"""Sends the requests that it reads as JSON from standard input, one after the other over a kept connection.

    asked.py HOST < [["GET", "/a?v=1", {"x-user": "7"}], ...]

Prints, of each, what the client can see of who answered: [status, tulle-reason, x-rule, location, version]. Standard
library only; redirects are not followed.
"""

import http.client
import json
import sys


def main() -> None:
    """Run it."""
    client = http.client.HTTPConnection(sys.argv[1], 80, timeout=10)
    seen = []
    for method, path, headers in json.load(sys.stdin):
        client.request(method, path, headers=headers)
        answer = client.getresponse()
        body = answer.read()
        version = json.loads(body)["version"] if answer.status == 200 else ""
        fields = [answer.getheader(name, "") for name in ("tulle-reason", "x-rule", "location")]
        seen.append([answer.status, *fields, version])
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
