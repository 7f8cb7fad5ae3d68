"""Log lines: JSON on stderr, as every program of Tulle's writes them."""

import json
import sys
from datetime import UTC, datetime


def log(level: str, message: str, **fields: object) -> None:
    """Write one line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    print(json.dumps({"time": now, "level": level, "message": message, **fields}), file=sys.stderr, flush=True)
