"""A pod and the network outside it, as two network namespaces, and a way to see who answered a connection.

A thread that has entered a namespace makes sockets there, and they stay there after it has left. So each test
is one process: it opens the servers of both sides, dials, and asks which server has a connection waiting.
"""

import contextlib
import ctypes
import itertools
import os
import selectors
import socket
import subprocess

import pytest
from tulle_init_container.family import IPV4, IPV6
from tulle_init_container.original_destination import original_destination

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
numbers = itertools.count()


class Namespace:
    """A network namespace; `with namespace:` runs the block inside it."""

    def __init__(self, name):
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True, text=True)
        self.run("ip link set lo up")

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        assert libc.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(there)

    def __exit__(self, *_):
        assert libc.setns(self.home, CLONE_NEWNET) == 0
        os.close(self.home)

    def run(self, *commands):
        for command in commands:
            subprocess.run(["ip", "netns", "exec", self.name, "sh", "-ec", command], check=True)

    def output(self, *command):
        return subprocess.run(["ip", "netns", "exec", self.name, *command], check=True, capture_output=True,
                              text=True).stdout

    def delete(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=True)


class World:
    """The pod (10.77.0.2, fd00:77::2) on a wire with the outside (…1), which has a Service address as well."""

    def __init__(self, default_route=True):
        self.pod_address = {IPV4: "10.77.0.2", IPV6: "fd00:77::2"}
        self.outside_address = {IPV4: "10.77.0.1", IPV6: "fd00:77::1"}
        self.service_address = {IPV4: "10.96.0.10", IPV6: "fd00:96::10"}
        stem = f"initsample-{os.getpid()}-{next(numbers)}"
        self.resources = contextlib.ExitStack()
        self.pod = Namespace(f"{stem}-pod")
        self.resources.callback(self.pod.delete)
        self.outside = Namespace(f"{stem}-out")
        self.resources.callback(self.outside.delete)
        self.pod.run(f"ip link add eth0 type veth peer name eth0 netns {self.outside.name}")
        for namespace, host in ((self.pod, 2), (self.outside, 1)):
            namespace.run(f"ip addr add 10.77.0.{host}/24 dev eth0",
                          f"ip addr add fd00:77::{host}/64 dev eth0 nodad", "ip link set eth0 up")
        self.outside.run("ip addr add 10.96.0.10/32 dev lo", "ip addr add fd00:96::10/128 dev lo nodad")
        if default_route:
            self.pod.run("ip route add default via 10.77.0.1", "ip -6 route add default via fd00:77::1")
        self.servers = {}

    def serve(self, name, namespace, family, port, address=None):
        """Listen in a namespace, on all addresses unless told; `reached` calls the listener `name`."""
        with namespace:
            listener = socket.socket(family.address_family)
        self.resources.enter_context(listener)
        if family is IPV6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address or {IPV4: "0.0.0.0", IPV6: "::"}[family], port))
        listener.listen()
        self.servers[listener] = (name, family)

    def serve_all(self, family):
        """The proxy and an app (8080, 4191) in the pod; a server (9000, 9001) outside."""
        self.serve("proxy outbound", self.pod, family, 4140, family.loopback)
        self.serve("proxy inbound", self.pod, family, 4143)
        for port in (8080, 4191):
            self.serve("app", self.pod, family, port)
        for port in (9000, 9001):
            self.serve("server", self.outside, family, port)

    def reached(self, namespace, family, address, port, uid=0):
        """Dial, and say who answered and where it believes that the connection was going."""
        with namespace:
            os.seteuid(uid)
            try:
                client = socket.socket(family.address_family)
            finally:
                os.seteuid(0)
        with client, selectors.DefaultSelector() as selector:
            client.settimeout(10)
            client.connect((address, port))
            for listener in self.servers:
                selector.register(listener, selectors.EVENT_READ)
            [(key, _)] = selector.select(10)
            name, family = self.servers[key.fileobj]
            with key.fileobj.accept()[0] as connection:
                assert connection.getpeername()[1] == client.getsockname()[1]
                try:
                    return name, original_destination(connection, family)
                except FileNotFoundError:  # netfilter does not know the connection: it was not touched
                    return name, connection.getsockname()[:2]

    def saved(self):
        """The rules and added chains of all four programs (an empty table counts as none), without counters."""
        return [
            (program, line.partition(" [")[0])
            for program in ("iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy")
            for line in self.pod.output(f"{program}-save").splitlines()
            if line.startswith("-") or (line.startswith(":") and " - [" in line)
        ]


def _namespaces_work():
    if os.geteuid() != 0:
        return "not root"
    probe = subprocess.run(["ip", "netns", "add", f"initsample-{os.getpid()}-probe"], capture_output=True, text=True)
    if probe.returncode != 0:
        return f"ip netns add failed: {probe.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", f"initsample-{os.getpid()}-probe"], check=True)
    return ""


@pytest.fixture(scope="session")
def namespaces():
    """Skip, and say why, where network namespaces cannot be made."""
    if reason := _namespaces_work():
        pytest.skip(f"ROOT TESTS NOT RUN: {reason}")


@pytest.fixture
def make_world(namespaces):
    with contextlib.ExitStack() as stack:
        def make(**options):
            world = World(**options)
            stack.callback(world.resources.close)
            return world
        yield make


@pytest.fixture
def world(make_world):
    return make_world()
