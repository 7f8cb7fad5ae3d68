"""The app and the control plane are scaled, rolled and killed under load, and no request fails.

FULL=1: 20 restarts, 50,000 requests at least.
"""

from tests.e2e.meshed import FULL, Load

RESTARTS, REQUESTS = (20, 50_000) if FULL else (4, 2_000)


def test_scale_and_restarts_of_app_and_control_plane_fail_nothing(demo):
    with Load(demo, at_least=REQUESTS) as under:
        for number in range(RESTARTS):
            namespace, name = (("demo", "app-b"), ("tulle-system", "tulle-control-plane"))[number % 2]
            demo("-n", namespace, "rollout", "restart", f"deploy/{name}")
            demo.rolled_out(namespace, f"deploy/{name}")
        for replicas in (5, 1, 3):
            demo("-n", "demo", "scale", "deploy/app-b", f"--replicas={replicas}")
            demo.rolled_out("demo", "deploy/app-b")
    requests = under.nothing_failed()
    print(
        f"\n{RESTARTS} restarts, scaled to 5, 1 and 3: {requests} requests, {len(under.counts['pods'])} pods, 0 failed"
    )
    assert requests >= REQUESTS
    # three at first, three more by each restart, and those that scaling added
    assert len(under.counts["pods"]) >= 3 + 3 * (RESTARTS // 2) + 2


def test_a_control_plane_that_is_killed_fails_nothing(demo):
    """No drain, no goodbye: its process is gone, and so is its pod."""
    with Load(demo, at_least=300) as under:
        pods = ("-n", "tulle-system", "delete", "pod", "-l", "app=tulle-control-plane")
        demo(*pods, "--grace-period=0", "--force")
        demo.rolled_out("tulle-system", "deploy/tulle-control-plane")
    print(f"\ncontrol plane killed: {under.nothing_failed()} requests, 0 failed")
