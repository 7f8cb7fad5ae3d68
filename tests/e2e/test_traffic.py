"""Requests, balanced one by one; a canary; a StatefulSet's pods by their names."""

from tests.e2e.meshed import ROOT, load


def test_requests_are_balanced_one_by_one_and_none_fails(demo):
    counts = load(demo, 10_000)
    assert counts["errors"] == {}
    assert counts["statuses"] == {"200": 10_000}
    assert len(counts["pods"]) == 3
    assert min(counts["pods"].values()) > 2_500  # 8 connections alone would give 2, 3, 3 of 8
    one = load(demo, 300, connections=1)
    assert len(one["pods"]) == 3


def test_a_canary_by_http_route_that_came_after_the_control_plane(demo, gateway_api):
    demo("apply", "-f", ROOT / "deploy/sample-app/canary")
    try:
        demo.until(lambda: "v2" in load(demo, 100)["versions"], "the canary gets requests")
        counts = load(demo, 3_000)
        assert counts["errors"] == {}
        assert counts["statuses"] == {"200": 3_000}
        print(f"\ncanary: {counts['versions']}")
        assert 180 <= counts["versions"]["v2"] <= 430  # 300 expected; 7 standard deviations
    finally:
        demo("delete", "-f", ROOT / "deploy/sample-app/canary")
    demo.until(lambda: "v2" not in load(demo, 100)["versions"], "all requests are version 1's again")
