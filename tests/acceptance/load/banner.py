"""How long a server that speaks first takes to speak, and whether a mail gets through. smtplib; prints JSON.

    banner.py HOST PORT
"""

from __future__ import annotations

import json
import smtplib
import sys
import time


def main() -> None:
    """Connect, wait for the greeting, send one mail."""
    began = time.monotonic()
    with smtplib.SMTP(local_hostname="client.acceptance", timeout=30) as client:
        code, greeting = client.connect(sys.argv[1], int(sys.argv[2]))
        banner = time.monotonic() - began
        refused = client.sendmail("a@acceptance", ["b@acceptance"], "Subject: a mail\r\n\r\n" + "line\r\n" * 1000)
        _, _ = client.noop()
    print(json.dumps({
        "banner_seconds": round(banner, 4), "code": code, "greeting": greeting.decode(), "refused": refused,
        "seconds": round(time.monotonic() - began, 3),
    }))


if __name__ == "__main__":
    main()
