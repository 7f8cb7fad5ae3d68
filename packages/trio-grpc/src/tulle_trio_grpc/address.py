"""Where a channel goes: `host:port`, `[v6]:port` or `unix:/path`.

Pure: names are not resolved here.
"""

from dataclasses import dataclass


class AddressError(ValueError):
    """An address that cannot be read; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed address: a host (name or literal, without brackets) and port, or the path of a unix socket."""

    host: str
    port: int
    unix_path: str | None = None

    @property
    def authority(self) -> str:
        """The default `:authority`; for a unix socket `localhost`, as grpc has it."""
        if self.unix_path is not None:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"unix:{self.unix_path}" if self.unix_path is not None else self.authority


def parse_address(address: str) -> Target:
    """Read one of the three forms; raises AddressError."""
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        path = path.removeprefix("//") if path.startswith("///") else path
        if not path:
            raise AddressError(f"address {address!r} names no socket: write unix:/path")
        return Target("", 0, path)
    if "/" in address:
        raise AddressError(f"address {address!r}: no scheme is needed: write host:port")
    host, colon, port = address.rpartition(":")
    if not colon or not host:
        raise AddressError(f"address {address!r} is not complete: write host:port, [v6]:port or unix:/path")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(f"address {address!r}: put an IPv6 address into brackets, as in [::1]:8086")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise AddressError(f"address {address!r}: the port {port!r} is not a number from 1 to 65535")
    return Target(host, int(port))
