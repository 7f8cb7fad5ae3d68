"""A policy, a balancer and an exporter that go wrong in the way that their configuration asks for."""

from __future__ import annotations

import time
from typing import Literal

from tulle_plugin_api import Balancer, Config, Exporter, Policy, hookimpl


class RudeConfig(Config):
    """How to go wrong."""

    how: Literal["not", "raises", "raises-after", "nonsense", "hangs", "blocks", "leaks"]
    tag: str
    """Written into answers, and counted when this is built: so that one can see which configuration is in force."""
    on_failure: Literal["open", "closed"] = "closed"


class Rude(Policy[RudeConfig]):
    """Goes wrong at each request."""

    config = RudeConfig
    uses_trio = False
    patience = 1.0

    def on_failure(self, config):
        return config.on_failure

    def build(self, config, next, runtime):
        how = config.how

        async def handle(exchange):
            if how == "raises":
                raise ValueError("rude")
            if how == "hangs":
                await runtime.event().wait()
            if how == "blocks":
                time.sleep(3600)
            if how == "leaks":
                runtime.spawn(runtime.event().wait)
            if how == "nonsense":
                return "no Response"
            answer = await next(exchange)
            if how == "raises-after":
                raise KeyError("rude")
            answer.headers.set("x-rude", config.tag)
            return answer

        runtime.count("rude_built_total", tag=config.tag)
        return handle


class RudeBalancer(Balancer):
    """Raises, or picks what it was not offered."""

    def __init__(self, config, runtime):
        self.how = config["how"]
        runtime.count("rude_built_total", tag=config["tag"])

    def pick(self, endpoints, exchange):
        if self.how == "raises":
            raise ValueError("rude")
        return "nobody"


class RudeExporter(Exporter):
    """Raises whenever it is told of an exchange; its page is no page."""

    def observe(self, exchange):
        raise ValueError("rude")

    def collect(self):
        return "text"

    async def run(self):
        raise RuntimeError("rude")


@hookimpl
def tulle_policies():
    return {"rude": Rude()}


@hookimpl
def tulle_balancers():
    return {"rude": RudeBalancer}


@hookimpl
def tulle_exporters():
    return {"rude": lambda context: RudeExporter()}
