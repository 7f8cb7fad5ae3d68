"""docs/conformance.md is true: each test that it names exists, and each test has a row."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = (HERE.parents[1] / "docs/conformance.md").read_text()


def test_every_test_has_a_row_and_every_row_a_test():
    named = re.findall(r"\| (test_\w+\.py::test_\w+) \|", DOCUMENT)
    there = [
        f"{file.name}::{name}"
        for file in sorted(HERE.glob("test_*.py"))
        if file.name != Path(__file__).name
        for name in re.findall(r"^async def (test_\w+)", file.read_text(), re.MULTILINE)
    ]
    assert sorted(named) == sorted(there)
    assert len(named) == len(set(named))


def test_every_other_row_says_why():
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and not line.startswith("| feature")]
    without = [row for row in rows if "::" not in row]
    rows = [row for row in without if not row.startswith(("| command", "| `"))]
    assert rows
    assert all("**no**: " in row for row in rows), rows


def test_every_test_says_what_it_proves_or_its_file_does():
    for file in HERE.glob("test_*.py"):
        text = file.read_text()
        assert text.startswith('"""'), file
        silent = [
            each.name
            for each in ast.parse(text).body
            if isinstance(each, ast.AsyncFunctionDef) and each.name.startswith("test_") and not ast.get_docstring(each)
        ]
        assert not silent, (file.name, silent)


FEATURES = set(re.findall(r"\w+", """
Mesh MeshClusterIPMatching MeshConsumerRoute MeshHTTPRouteRewritePath MeshHTTPRouteSchemeRedirect
MeshHTTPRouteRedirectPort MeshHTTPRouteRedirectPath MeshHTTPRouteBackendRequestHeaderModification
MeshHTTPRouteQueryParamMatching MeshHTTPRouteNamedRouteRule
HTTPRoute HTTPRouteDestinationPortMatching HTTPRouteBackendRequestHeaderModification HTTPRouteQueryParamMatching
HTTPRouteMethodMatching HTTPRouteResponseHeaderModification HTTPRoutePortRedirect HTTPRouteSchemeRedirect
HTTPRoutePathRedirect HTTPRouteHostRewrite HTTPRoutePathRewrite HTTPRouteRequestMirror HTTPRouteRequestMultipleMirrors
HTTPRouteRequestPercentageMirror HTTPRouteRequestTimeout HTTPRouteBackendTimeout HTTPRouteParentRefPort
HTTPRouteBackendProtocolH2C HTTPRouteBackendProtocolWebSocket HTTPRouteNamedRouteRule HTTPRouteCORS
HTTPRoute303RedirectStatusCode HTTPRoute307RedirectStatusCode HTTPRoute308RedirectStatusCode
HTTPRouteRetry HTTPRouteRetryCodes HTTPRouteRetryBackoff HTTPRouteRetryBackendTimeout HTTPRouteRetryConnectionError
HTTPRouteRetryBudget CookieSessionPersistence CookieSessionPersistencePermanentLifetime
GRPCRoute GRPCRouteNamedRouteRule ReferenceGrant
"""))
"""The Gateway API's own names for what a mesh may offer (v1.5: features of Mesh, HTTPRoute, GRPCRoute, ReferenceGrant;
those of retry from GEP-1731)."""


def test_no_feature_is_missing():
    table = "\n".join(line for line in DOCUMENT.splitlines() if line.startswith("|"))
    assert not [name for name in sorted(FEATURES) if not re.search(rf"\b{name}\b", table)]
