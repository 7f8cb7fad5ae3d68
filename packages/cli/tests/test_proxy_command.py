"""tulle proxy status, tulle proxy config: what is shown, and which pod is meant."""

import json

import pytest
from tulle_cli import proxies
from tulle_cli.errors import CliError


def test_status(api, tulle, golden):
    done = tulle("proxy", "status", "-n", "demo", "--control-plane", api.target)
    assert done.exit_code == 0
    golden("proxy-status.txt", done.output)


def test_status_says_why_a_proxy_is_behind(api, tulle):
    broken = api.answers["/api/v1/proxies"]["proxies"][1]
    broken.update(state="REJECTED", error="no balancer 'rnd' is installed; did you mean 'random'?")
    done = tulle("proxy", "status", "-A", "--control-plane", api.target)
    assert "demo        app-b-1   REJECTED" in done.stdout
    assert done.stderr == "demo/app-b-1: no balancer 'rnd' is installed; did you mean 'random'?\n"


FAULT = {
    "plugin": "policy-slow", "state": "suspended", "error": "blocked the event loop: for 2.0 s, at slow.py:3 in handle",
    "failures": 3,
}  # fmt: skip


def test_status_names_plugins_that_misbehave(api, tulle):
    api.answers["/api/v1/proxies"]["proxies"][1]["plugins"] = [FAULT]
    done = tulle("proxy", "status", "-A", "--control-plane", api.target)
    assert done.stderr == (
        "demo/app-b-1: plugin policy-slow suspended (3x): blocked the event loop: for 2.0 s, at slow.py:3 in handle\n"
    )


def test_plugins_list_tells_how_they_do_in_the_proxies(api, tulle):
    for proxy in api.answers["/api/v1/proxies"]["proxies"]:
        proxy["plugins"] = [FAULT]
    api.answers["/api/v1/proxies"]["proxies"][0]["plugins"] = [{**FAULT, "failures": 9, "state": "misbehaving"}]
    done = tulle("plugins", "list", "-o", "json", "--control-plane", api.target)
    row = next(row for row in json.loads(done.stdout) if row["name"] == "policy-slow")
    assert row["state"] == "suspended", "the worst of them"
    assert row["error"].startswith("in 2 proxies, such as demo/app-a-1 (9x): blocked the event loop")
    assert "policy-slow" in tulle("plugins", "list", "--control-plane", api.target).stdout


def test_plugins_list_needs_no_control_plane_unless_one_is_named(tulle, tmp_path):
    assert tulle("plugins", "list").exit_code == 0
    assert tulle("plugins", "list", "--control-plane", f"unix:{tmp_path}/none.sock").exit_code == 1


def test_status_of_one(api, tulle, golden):
    done = tulle("proxy", "status", "app-b", "-n", "demo", "--control-plane", api.target)
    golden("proxy-status-one.txt", done.output)


def test_status_of_nobody(api, tulle):
    done = tulle("proxy", "status", "--control-plane", api.target)
    assert done.output == "No proxy of namespace default is connected. -A looks at all of them.\n"
    api.answers["/api/v1/proxies"]["proxies"] = []
    done = tulle("proxy", "status", "-A", "--control-plane", api.target)
    assert done.output == "No proxy of any namespace is connected.\n"


def test_config(api, tulle, golden):
    done = tulle("proxy", "config", "demo/app-a-1", "--control-plane", api.target)
    assert done.exit_code == 0
    golden("proxy-config.txt", done.output)


def test_config_of_one_destination_as_json(api, tulle):
    wanted = ["app-a-1.demo", "--destination", "app-b", "-o", "json"]
    done = tulle("proxy", "config", *wanted, "--control-plane", api.target)
    found = json.loads(done.output)
    assert [item["destination"] for item in found["destinations"]] == ["10.96.0.7:80"]
    assert found["destinations"][0]["config"]["protocol"] == "PROTOCOL_DETECT"


KNOWN = [
    {"namespace": "demo", "pod": "app-b-1"}, {"namespace": "demo", "pod": "app-b-12"},
    {"namespace": "other", "pod": "web-1"}, {"namespace": "other", "pod": "app-b-1"},
]


@pytest.mark.parametrize(
    ("wanted", "namespace", "found"),
    [
        ("app-b-1", "demo", "demo/app-b-1"),  # exact before prefix
        ("app-b-12", "demo", "demo/app-b-12"),
        ("other/app-b", "demo", "other/app-b-1"),
        ("app-b-1.other", "demo", "other/app-b-1"),
        ("web", None, "other/web-1"),
    ],
)
def test_which_proxy_is_meant(wanted, namespace, found):
    item = proxies.find(KNOWN, wanted, namespace)
    assert f"{item['namespace']}/{item['pod']}" == found


def test_a_name_that_could_be_several():
    with pytest.raises(CliError, match="could be several") as caught:
        proxies.find(KNOWN, "app", "demo")
    assert caught.value.why == "demo/app-b-1, demo/app-b-12"


def test_a_name_that_is_nobodys():
    with pytest.raises(CliError, match="no connected proxy of a pod 'nope' in namespace demo"):
        proxies.find(KNOWN, "nope", "demo")
