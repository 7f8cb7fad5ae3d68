"""An exporter's options: text from the environment, read with errors that say what would be right.

Owns the reading. An option that nobody asks for is refused at the end (`done`), so that a typo is never silent.

>>> options = Options({"interval": "5"})
>>> options.seconds("interval", 10.0)
5.0
>>> options.done()
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from tulle_plugin_api.config import did_you_mean


class Options:
    """Reads `ExporterContext.options`. Every method raises ValueError that begins with the option's name."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._left = dict(given)
        self._known: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """Any text."""
        self._known.append(name)
        return self._left.pop(name, default)

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        """One of some words."""
        text = self.text(name, default)
        if text not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {text!r}")
        return text

    def choices(self, name: str, choices: Collection[str], default: str) -> tuple[str, ...]:
        """Some of some words, comma-separated; at least one."""
        text = self.text(name, default)
        found = tuple(filter(None, (part.strip() for part in text.split(","))))
        if not found or any(part not in choices for part in found):
            raise ValueError(f"{name}: expected a comma list of {', '.join(choices)}, got {text!r}")
        return found

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        return self.choice(name, ("true", "false"), "true" if default else "false") == "true"

    def whole(self, name: str, default: int, at_least: int = 1) -> int:
        """A whole number."""
        text = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < at_least:
            raise ValueError(f"{name}: expected a whole number from {at_least}, such as {default}, got {text!r}")
        return int(text)

    def seconds(self, name: str, default: float) -> float:
        """A positive number of seconds."""
        text = self.text(name, str(default))
        value = _number(text)
        if not 0 < value < 1e6:
            raise ValueError(f"{name}: expected a positive number of seconds, such as {default:g}, got {text!r}")
        return value

    def share(self, name: str, default: float) -> float:
        """A share from 0 to 1."""
        text = self.text(name, str(default))
        value = _number(text)
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a share from 0 to 1, such as 0.1 for one in ten, got {text!r}")
        return value

    def address(self, name: str, default: str) -> tuple[str, int]:
        """Host and port, "statsd.monitoring:8125" or "[fd00::7]:8125"."""
        text = self.text(name, default)
        host, _, port = text.rpartition(":")
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else "" if ":" in host else host
        if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise ValueError(f"{name}: expected host:port, such as {default}, got {text!r}")
        return host, int(port)

    def datagram_address(self, name: str, default: str) -> tuple[str, int] | str:
        """Host and port, or the path of a unix socket, "unix:///var/run/statsd.socket"."""
        given = self._left.get(name, "")
        if given.startswith("unix:///"):
            return self.text(name).removeprefix("unix://")
        return self.address(name, default)

    def url(self, name: str, default: str, example: str = "") -> str:
        """An address of a web server, http or https."""
        from urllib.parse import urlsplit  # 0.3 MB that only those who push over HTTP pay for

        text = self.text(name, default)
        try:
            parts = urlsplit(text)
            good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        except ValueError:  # of the port
            good = False
        if not good or re.search(r"[^\x21-\x7e]", text):
            raise ValueError(f"{name}: expected a URL, such as {default or example}, got {text!r}")
        return text

    def done(self) -> None:
        """Refuse what was not asked for."""
        for name in self._left:
            right = did_you_mean(name, self._known, f"known options: {', '.join(sorted(self._known)) or 'none'}")
            raise ValueError(f"unknown option {name!r}; {right}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0
