"""Images, variables, volumes, tokens, files of /etc, users and capabilities: everything that only computes."""

import sys

import lab_samples as samples
import pytest
from tulle_lab.errors import LabError
from tulle_lab.kubelet import downward, environment, identity, images, tokens, volumes
from tulle_lab.kubelet.backoff import Backoff
from tulle_lab.kubelet.environment import MissingConfig
from tulle_lab.sandbox.spec import CAPABILITIES, DEFAULT_CAPABILITIES

# --- images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "program"),
    [
        ("tulle/proxy:dev", "tulle-proxy"),
        ("tulle/proxy", "tulle-proxy"),
        ("nginx:1.27", "nginx"),
        ("nginx@sha256:abc", "nginx"),
        ("registry.example/library/nginx:latest", "nginx"),
        ("library/redis", "redis"),
        ("registry.example/tulle/control-plane:0.1.0", "tulle-control-plane"),
        ("localhost/tulle/init", "tulle-init"),
        ("registry:5000/a/b/c:v1", "a-b-c"),
    ],
)
def test_program_of_an_image(image, program):
    assert images.program_name(image) == program


@pytest.fixture
def path(tmp_path):
    for name in ("nginx", "tulle-proxy", "redis-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"image": "tulle/proxy:dev"}, ("DIR/tulle-proxy",)),
        ({"image": "tulle/proxy:dev", "args": ["--check"]}, ("DIR/tulle-proxy", "--check")),
        ({"image": "nginx:1"}, ("DIR/nginx", "-g", "daemon off;")),
        ({"image": "nginx:1", "args": ["-t"]}, ("DIR/nginx", "-t")),
        ({"image": "redis:7"}, ("DIR/redis-server",)),
        ({"image": "whatever", "command": ["sh", "-c"], "args": ["x"]}, ("sh", "-c", "x")),
        ({"command": ["sh"]}, ("sh",)),
        ({"image": "python:3.12-slim", "args": ["-c", "1"]}, (sys.executable, "-c", "1")),
    ],
)
def test_command_line(container, expected, path):
    assert images.command_line(container, path) == tuple(word.replace("DIR", path) for word in expected)


def test_an_image_without_a_program_says_what_is_missing(path):
    with pytest.raises(images.NoSuchImage, match="stands for the program 'tulle-nothing', and none of that name"):
        images.command_line({"image": "tulle/nothing:1"}, path)


def test_programs_are_looked_for_beside_python_first():
    assert images.search_path().split(":")[0] == sys.executable.rpartition("/")[0]
    assert "/usr/sbin" in images.search_path().split(":")


# --- downward API and variables -------------------------------------------------------------------------------

POD = samples.ready_pod(
    "web-1", "10.244.0.5,fd00:10:244::5", {"app": "web", "tier": "front"}, annotations={"note": 'a "b"\\c'}
)
POD["spec"] |= {"nodeName": "node", "serviceAccountName": "sa"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "default"),
        ("metadata.uid", "uid-web-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.labels", 'app="web"\ntier="front"'),
        ("metadata.annotations", 'note="a \\"b\\"\\\\c"'),
        ("status.podIP", "10.244.0.5"),
        ("status.podIPs", "10.244.0.5,fd00:10:244::5"),
        ("status.hostIP", ""),
        ("spec.nodeName", "node"),
        ("spec.serviceAccountName", "sa"),
    ],
)
def test_downward_fields(field, value):
    assert downward.field_value(field, POD) == value


MAPS = {"settings": {"data": {"COLOUR": "red", "SIZE": "5"}}}


def variables(*env, env_from=(), base=None):
    return environment.environment(
        {"name": "c", "env": list(env), "envFrom": list(env_from)}, POD, MAPS.get, base or {}
    )


def from_map(name, map_name="settings", key="COLOUR", **more):
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": map_name, "key": key, **more}}}


def test_later_variables_win_and_may_name_earlier_ones():
    found = variables(
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)-$(COLOUR)-$(LATER)-$$(A)-$HOME"},
        {"name": "LATER", "value": "x"},
        {"name": "NONE"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "URL", "value": "http://$(IP)"},
        env_from=[{"configMapRef": {"name": "settings"}}, {"prefix": "P_", "configMapRef": {"name": "settings"}}],
        base={"A": "base", "PATH": "/bin"},
    )
    assert found == {
        "PATH": "/bin",
        "A": "1",
        "COLOUR": "red",
        "SIZE": "5",
        "P_COLOUR": "red",
        "P_SIZE": "5",
        "B": "1-red-$(LATER)-$(A)-$HOME",
        "LATER": "x",
        "NONE": "",
        "IP": "10.244.0.5",
        "URL": "http://10.244.0.5",
    }


def test_config_map_keys():
    assert variables(from_map("X")) == {"X": "red"}
    assert variables(from_map("X", "none", optional=True), from_map("Y", key="none", optional=True)) == {}
    assert variables(env_from=[{"configMapRef": {"name": "none", "optional": True}}]) == {}


@pytest.mark.parametrize(
    ("env", "env_from", "words"),
    [
        ([from_map("X", "none")], [], "key 'COLOUR' of ConfigMap none"),
        ([from_map("X", key="none")], [], "key 'none' of ConfigMap settings"),
        ([], [{"configMapRef": {"name": "none"}}], "ConfigMap none"),
    ],
)
def test_a_config_that_is_missing_is_named(env, env_from, words):
    with pytest.raises(MissingConfig, match=f"container c needs {words}, which does not exist"):
        variables(*env, env_from=env_from)


def test_command_lines_are_expanded():
    assert environment.expand_all(["$(A)", "$(B)", "$$(A)", "a$(A)"], {"A": "1"}) == ("1", "$(B)", "$(A)", "a1")


# --- volumes ---------------------------------------------------------------------------------------------------


def contents(volume):
    found = volumes.contents({"name": "v", **volume}, POD, MAPS.get, lambda audience, life: f"{audience}/{life:g}")
    return {name: (file.data.decode(), file.mode) for name, file in found.items()}


def test_config_map_volume():
    assert contents({"configMap": {"name": "settings"}}) == {"COLOUR": ("red", 0o644), "SIZE": ("5", 0o644)}
    items = [{"key": "SIZE", "path": "deep/size", "mode": 0o600}]
    assert contents({"configMap": {"name": "settings", "items": items, "defaultMode": 0o444}}) == {
        "deep/size": ("5", 0o600)
    }
    assert contents({"configMap": {"name": "none", "optional": True}}) == {}
    with pytest.raises(MissingConfig, match="ConfigMap none"):
        contents({"configMap": {"name": "none"}})
    with pytest.raises(MissingConfig, match="key 'x' of ConfigMap settings"):
        contents({"configMap": {"name": "settings", "items": [{"key": "x", "path": "x"}]}})


def test_projected_volume():
    sources = [
        {"serviceAccountToken": {"audience": "tulle.dev", "path": "token", "expirationSeconds": 600}},
        {"serviceAccountToken": {"path": "default"}},
        {"configMap": {"name": "settings", "items": [{"key": "SIZE", "path": "size"}]}},
        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    assert contents({"projected": {"sources": sources, "defaultMode": 0o440}}) == {
        "token": ("tulle.dev/600", 0o440),
        "default": ("/3607", 0o440),
        "size": ("5", 0o440),
        "ns": ("default", 0o440),
    }


def test_writing_makes_the_folder_hold_exactly_that(tmp_path):
    folder = tmp_path / "v"
    volumes.write(folder, {"a": volumes.File(b"1"), "b/c": volumes.File(b"2", 0o600)})
    inode = (folder / "a").stat().st_ino
    volumes.write(folder, {"a": volumes.File(b"1"), "d": volumes.File(b"3")})
    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == {"a": b"1", "d": b"3"}
    assert (folder / "a").stat().st_ino == inode, "what did not change is not touched"
    volumes.write(folder, {"a": volumes.File(b"9", 0o400)})
    assert (folder / "a").stat().st_ino != inode, "a reader that has it open keeps the old text"
    assert (folder / "a").stat().st_mode & 0o777 == 0o400


def test_a_file_may_not_leave_its_volume(tmp_path):
    with pytest.raises(LabError, match="outside"):
        volumes.write(tmp_path / "v", {"../out": volumes.File(b"")})
    assert not (tmp_path / "out").exists()


# --- tokens ------------------------------------------------------------------------------------------------------

KEY = b"k" * 32
ACCOUNT = {"metadata": {"name": "sa", "uid": "uid-sa"}}


def token(audience="tulle.dev", lifetime=600, now=1000.0, key=KEY):
    return tokens.issue(key, POD, ACCOUNT, audience, lifetime, now)


def test_a_token_says_whose_it_is():
    bearer = tokens.verify(KEY, token(), "tulle.dev", 1599)
    assert (bearer.namespace, bearer.service_account, bearer.pod) == ("default", "sa", "web-1")


@pytest.mark.parametrize(
    ("text", "audience", "now", "words"),
    [
        (token(), "tulle.dev", 1600, "expired"),
        (token(), "tulle.dev", 999, "not yet valid"),
        (token(), "other", 1000, "meant for"),
        (token(key=b"x" * 32), "tulle.dev", 1000, "signature"),
        (token()[:-2] + "xx", "tulle.dev", 1000, "signature"),
        ("a.b", "tulle.dev", 1000, "not a JSON Web Token"),
        ("", "tulle.dev", 1000, "not a JSON Web Token"),
        ("e30.e30.e30", "tulle.dev", 1000, "expected HS256"),
        ("W10.e30.e30", "tulle.dev", 1000, "not a JSON Web Token"),
    ],
)
def test_a_token_that_is_not_believed(text, audience, now, words):
    with pytest.raises(tokens.BadToken, match=words):
        tokens.verify(KEY, text, audience, now)


def test_the_header_does_not_choose_the_algorithm():
    import base64

    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    with pytest.raises(tokens.BadToken, match="expected HS256"):
        tokens.verify(KEY, f"{none}.{token().split('.')[1]}.", "tulle.dev", 1000)


# --- /etc, users, capabilities ------------------------------------------------------------------------------------


def test_hosts_and_resolver():
    pod = samples.pod("db-0", spec={**samples.POD_SPEC, "hostname": "db", "subdomain": "dbs"})
    pod["spec"]["hostAliases"] = [{"ip": "10.0.0.1", "hostnames": ["a", "b"]}]
    lines = identity.hosts_file(pod, ["10.244.0.5", "fd00::5"]).splitlines()
    assert lines[1:3] == ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    assert lines[-3:] == [
        "10.244.0.5\tdb.dbs.default.svc.cluster.local\tdb",
        "fd00::5\tdb.dbs.default.svc.cluster.local\tdb",
        "10.0.0.1\ta\tb",
    ]
    assert identity.resolver_file("shop").splitlines() == [
        "nameserver 10.96.0.10",
        "search shop.svc.cluster.local svc.cluster.local cluster.local",
        "options ndots:5",
    ]


def test_dns_policies():
    extra = {
        "nameservers": ["10.0.0.9"],
        "searches": ["x"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    assert identity.resolver_file("a", "None", extra) == "nameserver 10.0.0.9\nsearch x\noptions ndots:2 edns0\n"
    assert identity.resolver_file("a", "Default") == "nameserver 10.96.0.10\n"
    assert "options ndots:2 edns0" in identity.resolver_file("a", "ClusterFirst", extra)


def test_long_host_names_end_well():
    assert identity.hostname(samples.pod("a" * 62 + "-bcd")) == "a" * 62


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ({}, {}, (0, 0, (), False)),
        ({"runAsUser": 5}, {"runAsUser": 4, "runAsGroup": 3}, (5, 3, (), False)),
        ({"runAsUser": 0}, {"runAsUser": 4}, (0, 0, (), False)),
        ({"allowPrivilegeEscalation": False}, {"fsGroup": 7, "supplementalGroups": [8, 9]}, (0, 0, (7, 8, 9), True)),
    ],
)
def test_users(own, shared, expected):
    pod = samples.pod(spec={**samples.POD_SPEC, "securityContext": shared})
    found = identity.identity({"name": "c", "securityContext": own}, pod)
    assert (found.user, found.group, found.groups, found.no_new_privileges) == expected


def test_run_as_non_root_is_held_to():
    pod = samples.pod(spec={**samples.POD_SPEC, "securityContext": {"runAsNonRoot": True}})
    with pytest.raises(identity.BadIdentity, match="would run as root"):
        identity.identity({"name": "c"}, pod)
    assert identity.identity({"name": "c", "securityContext": {"runAsUser": 1}}, pod).user == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, DEFAULT_CAPABILITIES),
        ({"drop": ["ALL"]}, ()),
        ({"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}, ("NET_ADMIN", "NET_RAW")),
        ({"drop": ["CHOWN"]}, DEFAULT_CAPABILITIES[1:]),
        ({"add": ["CHOWN", "SYS_TIME"]}, (*DEFAULT_CAPABILITIES, "SYS_TIME")),
        ({"add": ["ALL"]}, CAPABILITIES),
    ],
)
def test_capabilities(change, expected):
    assert identity.capabilities(change) == expected


def test_capabilities_have_the_kernels_numbers():
    assert CAPABILITIES.index("NET_ADMIN") == 12
    assert CAPABILITIES.index("SYS_ADMIN") == 21
    assert CAPABILITIES.index("CHECKPOINT_RESTORE") == 40


def test_back_off_doubles_and_forgets_after_a_healthy_run():
    backoff = Backoff()
    assert [backoff.delay(1) for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [backoff.delay(600), backoff.delay(1)] == [0, 1]
