"""A cluster without a node: store, API and admission, with a webhook that answers as it is told."""

import copy

import lab_samples as samples
import pytest
import trio
from tulle_lab.cluster import webhook
from tulle_lab.cluster.api import Api
from tulle_lab.cluster.events import Events
from tulle_lab.cluster.services import ClusterIPs
from tulle_lab.cluster.store import Store
from tulle_lab.errors import Invalid


class FakeWebhook(webhook.Webhook):
    """Answers as told: `answers[path]` is a patch, or an exception."""

    def __init__(self, store):
        super().__init__(store, None)
        self.answers, self.asked, self.installed = {}, [], False

    @property
    def is_installed(self):
        return self.installed

    async def call(self, path, obj, old=None):
        await trio.lowlevel.checkpoint()
        self.asked.append((path, copy.deepcopy(obj), old))
        answer = self.answers.get(path, [])
        if isinstance(answer, Exception):
            raise answer
        return webhook.Answer(answer, ["look here"] if answer else [])


class Cluster:
    def __init__(self, ipv6=True):
        self.store, self.events = Store(), Events()
        self.hook = FakeWebhook(self.store)
        self.api = Api(self.store, self.events, self.hook, ClusterIPs(ipv6), clock=lambda: 1000.0)
        self.apply(samples.namespace())

    def apply(self, *objects):
        done, self.warnings = trio.run(self.api.apply, list(objects))
        return [f"{line.key.kind} {line.done}" for line in done]

    def refused(self, *objects):
        before = list(self.store.all())
        with pytest.raises(Invalid) as caught:
            trio.run(self.api.apply, list(objects))
        assert list(self.store.all()) == before
        return caught.value.problems

    def get(self, kind, name, namespace="default"):
        return self.store.get(kind, namespace, name)


def plain(pod):
    for name in ("uid", "status"):
        pod["metadata"].pop(name, None)
    return pod
