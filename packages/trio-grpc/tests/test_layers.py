"""What the README says of the structure: the deciding modules know no trio, no sockets, and no test server."""

import ast
from importlib.metadata import version
from pathlib import Path

import pytest
import tulle_trio_grpc
from tulle_trio_grpc.request import USER_AGENT

PURE = {
    *("address", "backoff", "compression", "errors", "framing", "gate", "keepalive", "metadata"),
    *("percent", "request", "response", "session", "status", "timeouts"),
}
SOURCE = Path(tulle_trio_grpc.__file__).parent


def imports(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("module", sorted(PURE))
def test_deciding_modules_decide_only(module: str) -> None:
    for name in imports(SOURCE / f"{module}.py"):
        assert name.split(".")[0] not in ("trio", "socket", "ssl", "asyncio")
        if name.startswith("tulle_trio_grpc."):
            assert name.split(".")[1] in PURE


def test_the_client_does_not_need_the_test_server() -> None:
    for path in SOURCE.glob("*.py"):
        assert not any(name.startswith("tulle_trio_grpc.testing") for name in imports(path))


def test_the_user_agent_has_the_version() -> None:
    assert USER_AGENT.endswith("/" + version("tulle-trio-grpc"))
