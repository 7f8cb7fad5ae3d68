"""The network of a real lab: Services from everywhere, both families, names, refusals, and no way out."""

import collections
import json
import subprocess

import pytest
from lab_runner import config_map, container, deployment, pod, service

pytestmark = pytest.mark.root


@pytest.fixture
def web(lab, space):
    """Two ready pods behind a dual-stack Service."""
    lab.apply(deployment("web", space, replicas=2), service("web", space, ipFamilyPolicy="RequireDualStack"))
    return space


def vips(lab, space, name="web"):
    return lab.get("service", name, space)["spec"]["clusterIPs"]


def hosts(lab, url, count=20, **where):
    """How often each pod answered `count` requests, each on its own connection."""
    config = "\nnext\n".join([f'url = "{url}"'] * count)
    words = ("exec", where.get("source", "node"), "-n", where.get("namespace", "default"), "--")
    text = lab.run(*words, "curl", "-gsS", "--no-keepalive", "-H", "Connection: close", "-K", "-", stdin=config)
    return collections.Counter(json.loads(part + "}")["host"] for part in text.split("}") if part.strip())


def test_a_service_from_the_node_and_from_a_pod(lab, web):
    names = {pod["metadata"]["name"] for pod in lab.pods(web)}
    v4, v6 = vips(lab, web)
    for url in (f"http://{v4}/", f"http://[{v6}]/", f"http://web.{web}/", f"http://web.{web}.svc.cluster.local/"):
        for where in ({}, {"source": "deploy/web", "namespace": web}):
            assert set(hosts(lab, url, **where)) == names, (url, where)


def test_pods_see_each_others_own_addresses_and_the_nodes(lab, web):
    client = lab.pods(web)[0]
    [v4, v6] = [entry["ip"] for entry in client["status"]["podIPs"]]
    other = next(p for p in lab.pods(web) if p is not client)["status"]["podIPs"]
    source = {"source": client["metadata"]["name"], "namespace": web}
    assert lab.ask(f"http://{other[0]['ip']}:8080/", **source)["client"] == v4
    assert lab.ask(f"http://[{other[1]['ip']}]:8080/", **source)["client"] == v6
    assert lab.ask(f"http://{v4}:8080/")["client"] == "10.244.0.1"
    assert lab.ask(f"http://[{v6}]:8080/")["client"] == "fd00:10:244::1"


def test_a_pod_reaches_itself_through_its_service(lab, space):
    lab.apply(deployment("web", space), service("web", space, ipFamilyPolicy="RequireDualStack"))
    v4, v6 = vips(lab, space)
    for url in (f"http://{v4}/", f"http://[{v6}]/"):
        for _ in range(3):
            assert lab.ask(url, source="deploy/web", namespace=space)["host"].startswith("web-")


def test_endpoints_follow_readiness(lab, space):
    lab.apply(deployment("web", space, replicas=2), service("web", space))
    [first, second] = [pod["metadata"]["name"] for pod in lab.pods(space)]
    [vip] = vips(lab, space)
    lab.curl("http://localhost:8080/status?503", "-X", "POST", source=first, namespace=space)
    lab.wait("condition=Ready=false", f"pod/{first}", space)
    assert set(hosts(lab, f"http://{vip}/")) == {second}
    lab.curl("http://localhost:8080/status?200", "-X", "POST", source=first, namespace=space)
    lab.wait("condition=Ready", f"pod/{first}", space)
    assert set(hosts(lab, f"http://{vip}/")) == {first, second}


def test_refused_at_once_without_endpoints_or_service(lab, space):
    lab.apply(
        pod("client", space),
        service("empty", space, ipFamilyPolicy="RequireDualStack"),
    )
    v4, v6 = vips(lab, space, "empty")
    for target in (f"{v4}:80", f"[{v6}]:80", "10.96.200.200:80", f"{v4}:81"):
        for where in ({}, {"source": "client", "namespace": space}):
            done = lab.run_raw(
                "exec",
                where.get("source", "node"),
                "-n",
                where.get("namespace", "default"),
                "--",
                "curl",
                "-gsS",
                "--max-time",
                "10",
                f"http://{target}/",
            )
            assert done.returncode == 7, (target, where, done.stderr)


def test_there_is_no_way_out(lab, space):
    """Not to the machine's own addresses, nor to the world: no route, no device."""
    lab.apply(pod("client", space))
    own = subprocess.run(["ip", "-json", "-4", "addr"], capture_output=True, text=True, check=True).stdout
    machine = [a["local"] for link in json.loads(own) for a in link["addr_info"] if a["local"] != "127.0.0.1"]
    for target in [*machine, "192.0.2.1", "8.8.8.8", "[2001:db8::1]"]:
        answer = lab.ask(f"http://localhost:8080/connect?{target}:53", source="client", namespace=space)
        assert answer.startswith("OSError"), (target, answer)  # ENETUNREACH or EHOSTUNREACH, not a timeout
    links = json.loads(lab.run("exec", "node", "--", "ip", "-json", "link"))
    assert {link["ifname"][:4] for link in links} <= {"lo", "veth", "clus"}
    assert "default" not in lab.run("exec", "node", "--", "ip", "route")
    assert lab.run("exec", "client", "-n", space, "--", "ip", "route").startswith("default via 10.244.0.1 dev eth0")


def test_a_service_with_two_named_ports(lab, space):
    second = container("second", env=[{"name": "PORT", "value": "9090"}], probe=False)
    ports = [{"name": "one", "port": 80, "targetPort": "http"}, {"name": "two", "port": 81, "targetPort": 9090}]
    lab.apply(deployment("web", space, container(), second), service("web", space, ports=ports))
    [vip] = vips(lab, space)
    assert lab.ask(f"http://{vip}:81/")["host"] == lab.ask(f"http://{vip}/")["host"]


def lookup(lab, space, *names):
    """What getaddrinfo says in a pod."""
    script = (
        "import json, socket, sys\nout = {}\nfor name in sys.argv[1:]:\n"
        "    try: out[name] = sorted({a[4][0] for a in socket.getaddrinfo(name, 80)})\n"
        "    except OSError as e: out[name] = str(e)\nprint(json.dumps(out))"
    )
    return json.loads(lab.run("exec", "client", "-n", space, "--", "python3", "-c", script, *names))


def test_names(lab, space):
    headless = service("db", space, clusterIP="None", ipFamilyPolicy="RequireDualStack")
    member = pod("db-0", space, labels={"app": "db"}, hostname="db-0", subdomain="db")
    lab.apply(
        pod("client", space),
        member,
        headless,
        deployment("web", space),
        service("web", space, ipFamilyPolicy="RequireDualStack"),
    )
    both = [entry["ip"] for entry in lab.get("pod", "db-0", space)["status"]["podIPs"]]
    full = f"web.{space}.svc.cluster.local"
    found = lookup(
        lab,
        space,
        "web",
        f"web.{space}",
        full,
        "db",
        "db-0.db",
        "kube-dns.kube-system",
        "client",
        "localhost",
        "none",
        f"none.{space}.svc.cluster.local",
        "example.com",
    )
    assert found["web"] == found[f"web.{space}"] == found[full] == sorted(vips(lab, space))
    assert found["db"] == found["db-0.db"] == sorted(both)
    assert found["kube-dns.kube-system"] == ["10.96.0.10", "fd00:10:96::a"]
    assert found["localhost"] == ["127.0.0.1", "::1"]
    assert sorted(entry["ip"] for entry in lab.get("pod", "client", space)["status"]["podIPs"]) == found["client"]
    for name in ("none", f"none.{space}.svc.cluster.local", "example.com"):
        assert "Name or service not known" in found[name]


def test_dns_over_tcp(lab, space):
    lab.apply(pod("client", space))
    script = (
        "import socket, struct\n"
        "q = b'\\0\\7\\1\\0\\0\\1' + bytes(6) + b'\\10kube-dns\\13kube-system\\3svc\\7cluster\\5local\\0\\0\\1\\0\\1'\n"
        "s = socket.create_connection(('10.96.0.10', 53), 5)\n"
        "for byte in struct.pack('!H', len(q)) + q: s.send(bytes([byte]))\n"
        "n = struct.unpack('!H', s.recv(2))[0]; print(s.recv(n)[-4:].hex())"
    )
    assert lab.run("exec", "client", "-n", space, "--", "python3", "-c", script) == "0a60000a\n"


def test_a_pod_that_terminates_leaves_the_service_first(lab, space):
    """Its program lingers for three seconds; nobody new is sent there meanwhile."""
    slow = container(env=[{"name": "LINGER", "value": "3"}])
    lab.apply(deployment("web", space, slow, replicas=2), service("web", space))
    [vip] = vips(lab, space)
    leaving = lab.pods(space)[0]["metadata"]["name"]
    lab.run("delete", "pod", leaving, "-n", space, "--no-wait")
    follow = lab.run("logs", leaving, "-n", space, "-f")  # ends with the pod
    assert "terminating" in follow
    assert leaving not in hosts(lab, f"http://{vip}/")


def test_rules_are_on_the_node_and_say_what_they_are(lab, web):
    saved = lab.run("exec", "node", "--", "iptables-save", "-t", "nat")
    assert f"{web}/web:http cluster IP" in saved
    assert saved.count(f"{web}/web:http -> ") == 2
    lab.run("delete", "service", "web", "-n", web)
    lab.apply(config_map("tick", web))
    lab.run("wait", "endpointslices/web-ipv4", "--for=delete", "-n", web)


def test_slices_written_by_hand_are_endpoints_too(lab, space):
    lab.apply(pod("backend", space))
    address = lab.get("pod", "backend", space)["status"]["podIP"]
    own = service("external", space, ports=[{"port": 80}])
    del own["spec"]["selector"]
    piece = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": {"name": "external-1", "namespace": space, "labels": {"kubernetes.io/service-name": "external"}},
        "endpoints": [{"addresses": [address]}],
        "ports": [{"port": 8080}],
    }
    lab.apply(own, piece)
    [vip] = vips(lab, space, "external")
    assert lab.ask(f"http://{vip}/")["host"] == "backend"
