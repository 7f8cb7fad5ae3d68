"""The contract of policies, as tests.

Owns what the stack and the webhook rely on: configuration is refused in words, `build` is pure, a handler ends with
something that can be sent, lets an interruption through, and leaves no body behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec
import pytest

from tulle_plugin_api.config import ConfigError, decode, schema
from tulle_plugin_api.contract import judge, samples
from tulle_plugin_api.contract.configs import UNKNOWN, fields, with_an_unknown_field
from tulle_plugin_api.contract.judge import installed, not_installed
from tulle_plugin_api.contract.sizes import reachable_bytes
from tulle_plugin_api.contract.stepping import SteppingRuntime
from tulle_plugin_api.contract.upstreams import BEHAVIOURS, Upstream
from tulle_plugin_api.contract.watch import watched
from tulle_plugin_api.errors import TimedOut
from tulle_plugin_api.exchange import Address, Exchange, Handler, Response
from tulle_plugin_api.meshpolicy import validate
from tulle_plugin_api.protocols import Config, Policy, Position
from tulle_plugin_api.runtime import Runtime, TrioRuntime

T = TypeVar("T")

_WRONG: tuple[object, ...] = ([[[]]], {"": {"": {}}}, -1e300, "\x00", True, None, -1, 0, "", [], {})
"""Values of which no field takes all."""

PATIENCE = 7200.0
"""Virtual seconds after which a request that hangs is interrupted from outside."""


class PolicyContract:
    """Subclass it in a test file, set `plugin` and `configs`, and run pytest."""

    plugin: ClassVar[str]
    """The policy's MeshPolicy `type`."""

    configs: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    """`spec.config`s that it accepts; each test runs with each. Together they should use every field."""

    refused: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """`spec.config`s that it refuses."""

    bound: ClassVar[int] = 5000
    """How many clients, paths and hosts it may remember; what more of them must not make it larger."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One run of a test for each configuration."""
        for name, values in (("config", self.configs), ("bad_config", self.refused)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values, ids=repr)

    @pytest.fixture
    def policy(self) -> Policy[Any]:
        """The installed plugin's."""
        plugins = installed()
        assert self.plugin in plugins.policies, not_installed("policy", self.plugin, plugins.policies, plugins.failures)
        return plugins.policies[self.plugin]

    # --- what it is -----------------------------------------------------------------------------------------

    def test_it_says_what_it_is(self, policy: Policy[Any]) -> None:
        """Where it sits, which way, on which path; and its configuration's type is described."""
        assert isinstance(policy, Policy)
        assert isinstance(policy.position, Position)
        assert policy.direction in ("outbound", "inbound", "both")
        assert type(policy.uses_trio) is bool
        assert issubclass(policy.config, Config)
        assert policy.config.__doc__, "the configuration's docstring is its description in docs and CRD"

    def test_it_has_a_json_schema(self, policy: Policy[Any]) -> None:
        """From which the CRD and the docs are made."""
        described = schema(policy.config)
        ((_, definition),) = [pair for pair in described["$defs"].items() if pair[0] == policy.config.__name__]
        assert definition["additionalProperties"] is False
        assert set(definition["properties"]) == set(fields(policy.config))

    # --- configuration --------------------------------------------------------------------------------------

    def test_the_webhook_accepts_its_configuration(self, policy: Policy[Any], config: Mapping[str, Any]) -> None:
        """As a whole MeshPolicy."""
        assert validate(self._mesh_policy(config), {self.plugin: policy}) == []

    def test_it_says_what_becomes_of_requests_when_it_fails(
        self, policy: Policy[Any], config: Mapping[str, Any]
    ) -> None:
        """Open or closed; what decides who may pass is never open. And it says how long it may take."""
        said = policy.on_failure(decode(policy.config, config))
        assert said in ("open", "closed")
        assert said == "closed" or policy.position != Position.AUTHORIZE, "the proxy would deny requests all the same"
        assert policy.patience > 0

    def test_an_unknown_field_is_refused_with_its_path(self, policy: Policy[Any], config: Mapping[str, Any]) -> None:
        """In every object that the configuration holds."""
        for path, changed in with_an_unknown_field(policy.config, config):
            (problem,) = validate(self._mesh_policy(changed), {self.plugin: policy})
            assert problem.startswith(f"spec.config{path}: unknown field {UNKNOWN!r}; "), problem

    def test_what_is_not_of_the_right_type_is_refused_in_words(
        self, policy: Policy[Any], config: Mapping[str, Any]
    ) -> None:
        """Never an error other than ConfigError; and each problem begins with the path."""
        for name, kind in fields(policy.config).items():
            refusals = [self._refusal(policy, {**config, name: wrong}) for wrong in _WRONG]
            assert any(refusals) or isinstance(kind, msgspec.inspect.AnyType), f"{name} accepts anything"
            for refusal in refusals:
                assert all(problem.startswith("spec.config") for problem in refusal), refusal
        nothings: tuple[object, ...] = (None, [], "text", 3)
        for nothing in nothings:
            with pytest.raises(ConfigError, match=r"^spec\.config: "):
                decode(policy.config, nothing)

    def test_what_it_refuses(self, policy: Policy[Any], bad_config: Mapping[str, Any]) -> None:
        """By its type or by `check`, so that the webhook can say so: `build` would be too late."""
        problems = validate(self._mesh_policy(bad_config), {self.plugin: policy})
        assert problems
        assert all(problem.startswith("spec.config") for problem in problems), problems

    def _refusal(self, policy: Policy[Any], config: Mapping[str, Any]) -> list[str]:
        try:
            problems = policy.check(decode(policy.config, config))
        except ConfigError as error:
            return error.problems
        assert isinstance(problems, list), f"check returned {problems!r}; expected a list of sentences"
        return [f"spec.config.{problem}" for problem in problems]  # as the webhook says it

    # --- build ----------------------------------------------------------------------------------------------

    def test_build_is_pure(self, policy: Policy[Any], config: Mapping[str, Any]) -> None:
        """No I/O, no waiting, no call of `next`; the configuration stays as it was."""
        runtime = SteppingRuntime()  # whose waits refuse to be called outside a handler
        upstream, given = Upstream("ok", runtime), decode(policy.config, dict(config))
        before = _plain(given)
        with watched() as happened:
            handler = policy.build(given, upstream, runtime)
        assert callable(handler)
        assert upstream.asked == [], "build called next"
        assert happened == [], "build runs while requests wait"
        assert _plain(given) == before, "build changed its configuration"

    def test_handlers_share_nothing(self, policy: Policy[Any], config: Mapping[str, Any]) -> None:
        """Two routes, or before and after a change: what one handler has seen is nothing to the next."""
        first = self._story(policy, config)
        assert self._story(policy, config) == first, "the same requests went otherwise through a new handler"

    # --- handle -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("behaviour", BEHAVIOURS)
    def test_any_request_ends_with_what_can_be_sent(
        self, policy: Policy[Any], config: Mapping[str, Any], behaviour: str
    ) -> None:
        """A Response, a Failure, or the error from below; and each body is read to its end or given up."""

        async def story(runtime: Runtime) -> None:
            upstream = Upstream(behaviour, runtime)
            handler = self._build(policy, config, upstream, runtime)
            for oddity, make in samples.ODD_REQUESTS.items():
                for give_up in (False, True):
                    upstream.error = None
                    try:
                        response = await handler(make())
                        judge.check_response(response)
                        await _finish(response, give_up)
                    except Exception as error:
                        if isinstance(error, AssertionError):
                            raise
                        judge.check_error(error, upstream.error)
                    left = [body for body in upstream.bodies if not body.done]
                    assert not left, f"{oddity!r}: {len(left)} bodies were neither read to the end nor closed"
                    upstream.bodies.clear()

        self._drive(policy, story)

    def test_an_interruption_passes_through(self, policy: Policy[Any], config: Mapping[str, Any]) -> None:
        """The client has gone, or an outer deadline has passed: nobody may keep that, `finally` may clean up."""

        async def story(runtime: Runtime) -> None:
            async def hangs(exchange: Exchange) -> Response:
                await runtime.sleep(PATIENCE * 100)
                return Response(200)

            handler, mark = self._build(policy, config, hangs, runtime), TimedOut("interrupted from outside")
            start = runtime.now()
            try:
                with runtime.timeout(PATIENCE, mark):
                    judge.check_response(await handler(samples.exchange()))
            except Exception as error:
                if isinstance(error, AssertionError):
                    raise
                judge.check_error(error, mark)
                if error is not mark and runtime.now() - start >= PATIENCE:
                    raise AssertionError(f"the interruption became {error!r}") from error
            else:
                assert runtime.now() - start < PATIENCE, "the interruption was swallowed: catch Exception at most"

        self._drive(policy, story)

    def test_requests_at_one_time_are_not_mixed_up(self, policy: Policy[Any], config: Mapping[str, Any]) -> None:
        """What is known of one request is kept in its exchange or in local variables, never in the policy."""
        runtime = _runtime()
        upstream = Upstream("slow", runtime)
        if policy.uses_trio:
            pytest.skip("runs under trio; needs a nursery")
        handler = self._build(policy, config, upstream, runtime)

        async def one(number: int) -> None:
            await runtime.sleep(number / 100)
            response = await handler(samples.exchange(path=f"/{number}"))
            if response.status == 200 and response.headers.get("x-path") is not None:
                assert response.headers.get("x-path") == f"/{number}"

        for strand in runtime.run_all([one(number) for number in range(100)]):
            if strand.error is not None:
                if isinstance(strand.error, AssertionError):
                    raise strand.error
                judge.check_error(strand.error, None)

    def test_on_the_fast_path_it_needs_no_trio(self, policy: Policy[Any], config: Mapping[str, Any]) -> None:
        """`uses_trio = False` is a promise: stepped by a bare driver, it awaits only `next` and the Runtime.

        So do all tests of such a policy; this one also goes the same way under trio, as authors' own tests will.
        """
        if policy.uses_trio:
            pytest.skip("says that it uses trio")
        stepped = self._story(policy, config)

        async def story() -> list[str]:
            return await self._tell(policy, config, TrioRuntime(seed=1))

        assert _in_trio(story) == stepped

    def test_it_remembers_a_bounded_number_of_clients(self, policy: Policy[Any], config: Mapping[str, Any]) -> None:
        """Addresses, identities, hosts, paths and fields come from outside, and there is no end of them."""

        async def story(runtime: Runtime) -> tuple[int, int]:
            upstream = Upstream("ok", runtime)
            handler = self._build(policy, config, upstream, runtime)
            sizes = []
            for start in (0, self.bound * 2):
                for number in range(start, start + self.bound * 2):
                    try:
                        await _finish(await handler(_stranger(number)), False)
                    except Exception as error:
                        judge.check_error(error, upstream.error)
                    upstream.asked.clear()
                sizes.append(reachable_bytes(handler, [runtime, upstream]))
            return sizes[0], sizes[1]

        before, after = self._drive(policy, story)
        assert after <= before * 1.2 + 10_000, f"from {before} to {after} bytes by {self.bound * 2} more strangers"

    # --- how ------------------------------------------------------------------------------------------------------

    def _build(self, policy: Policy[Any], config: Mapping[str, Any], next: Handler, runtime: Runtime) -> Handler:
        return policy.build(decode(policy.config, dict(config)), next, runtime)

    def _drive(self, policy: Policy[Any], story: Callable[[Runtime], Awaitable[T]]) -> T:
        """Where the proxy would run it: stepped without trio, or under trio, on virtual time."""

        async def told(runtime: Runtime) -> T:
            return await story(runtime)

        if policy.uses_trio:
            return _in_trio(lambda: told(TrioRuntime(seed=1)))
        runtime = _runtime()
        return runtime.run(told(runtime))

    def _story(self, policy: Policy[Any], config: Mapping[str, Any]) -> list[str]:
        return self._drive(policy, lambda runtime: self._tell(policy, config, runtime))

    async def _tell(self, policy: Policy[Any], config: Mapping[str, Any], runtime: Runtime) -> list[str]:
        """What became of a number of requests through a new handler."""
        told: list[str] = []
        upstreams = {name: Upstream(name, runtime) for name in ("ok", "overloaded", "fails")}
        turn = iter(range(10**9))

        async def next(exchange: Exchange) -> Response:
            return await list(upstreams.values())[next_turn() % 3](exchange)

        def next_turn() -> int:
            return turn.__next__()

        handler = self._build(policy, config, next, runtime)
        for number in range(60):
            try:
                told.append(f"{(await handler(_stranger(number % 5))).status}")
            except Exception as error:
                told.append(f"{type(error).__name__} {error}")
        return told

    def _mesh_policy(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "tulle.dev/v1alpha1",
            "kind": "MeshPolicy",
            "metadata": {"name": "contract", "namespace": "demo"},
            "spec": {"targetRef": {"kind": "Service", "name": "app-b"}, "type": self.plugin, "config": dict(config)},
        }


async def _finish(response: Response, give_up: bool) -> None:
    """As a codec does: read the body to its end and close it, or give it up at once."""
    if isinstance(response.body, bytes):
        return
    try:
        while not give_up and (piece := await response.body.read()):
            assert isinstance(piece, bytes), f"read() returned {piece!r}"
    finally:
        await response.body.aclose()
        await response.body.aclose()  # may be called twice


def _stranger(number: int) -> Exchange:
    one = samples.exchange(path=f"/{number}", authority=f"host-{number}")
    one.source = Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", number % 60_000)
    one.source_identity = f"spiffe://cluster.local/ns/demo/sa/{number}"
    for name in ("x-user", "authorization", "cookie", "origin", "host", "user-agent", "x-api-key", "x-request-id"):
        one.headers.set(name, f"{name}-{number}")
    return one


def _runtime() -> SteppingRuntime:
    return SteppingRuntime(endpoints=samples.endpoints(5))


def _plain(config: Any) -> Any:
    return msgspec.to_builtins(config, enc_hook=repr)


def _in_trio(story: Callable[[], Awaitable[T]]) -> T:
    trio = pytest.importorskip("trio")
    from trio.testing import MockClock

    result: T = trio.run(story, clock=MockClock(autojump_threshold=0))
    return result
