"""Loading: whatever one plugin does wrong, it is named with what would be right, and the others load.

Plugins are installed for these tests as pip installs them: a module and a .dist-info folder on sys.path.
"""

import sys
import textwrap

import pytest
from tulle_plugin_api import Check, CheckResult, Config, Exporter, Policy, hookimpl, load

GOOD = """
from tulle_plugin_api import hookimpl

@hookimpl
def tulle_balancers():
    return {"%s": lambda config, runtime: None}
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty site-packages: `site(name, code)` installs a plugin there; nothing else is installed."""
    kept = [folder for folder in sys.path if "site-packages" not in folder]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *kept])
    before = set(sys.modules)

    def install(name, code, distribution=None, version="1.2.3"):
        module = f"plugin_{len(list(tmp_path.iterdir()))}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{(distribution or name).replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[tulle]\n{name} = {module}\n")

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("plugin_"):
            del sys.modules[name]


def errors(plugins):
    return {info.name: info.error for info in plugins.failures}


def test_a_good_plugin_is_loaded_and_described(site):
    site("balancer-mine", GOOD % "mine")
    plugins = load()
    assert list(plugins.balancers) == ["mine"]
    (info,) = plugins.infos
    assert (info.name, info.version, info.source) == ("balancer-mine", "1.2.3", "balancer-mine")
    assert (info.state, info.provides, info.error) == ("loaded", ["balancer mine"], "")


MISBEHAVING = {
    "fails to import": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "is not even Python": ("def (", "SyntaxError: "),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "panics in native code": (
        "class Panic(BaseException): pass\nraise Panic('index out of bounds')",
        "Panic: index out of bounds",
    ),
    "implements an unknown hook": (
        """
        from tulle_plugin_api import hookimpl
        @hookimpl
        def tulle_balancer(): return {}
        """,
        "RuntimeError: implements the unknown hook tulle_balancer; did you mean 'tulle_balancers'?",
    ),
    "forgets the decorator": (
        "def tulle_balancers(): return {}",
        "RuntimeError: tulle_balancers is not marked; put @tulle_plugin_api.hookimpl above it",
    ),
    "implements nothing": ("x = 1", "RuntimeError: implements no hook; there are tulle_balancers, "),
    "asks for what the hook does not give": (
        """
        from tulle_plugin_api import hookimpl
        @hookimpl
        def tulle_balancers(config): return {}
        """,
        "PluginValidationError: ",
    ),
    "raises in its hook": (
        """
        from tulle_plugin_api import hookimpl
        @hookimpl
        def tulle_balancers(): return 1 / 0
        """,
        "ZeroDivisionError: division by zero",
    ),
    "returns nonsense": (
        """
        from tulle_plugin_api import hookimpl
        @hookimpl
        def tulle_balancers(): return ["round-robin"]
        """,
        "TypeError: tulle_balancers returned list; expected a mapping by name",
    ),
    "returns nothing": (
        """
        from tulle_plugin_api import hookimpl
        @hookimpl
        def tulle_exporters(): pass
        """,
        "TypeError: tulle_exporters returned NoneType; expected a mapping by name",
    ),
    "gives an instance for a factory": (
        """
        from tulle_plugin_api import hookimpl
        @hookimpl
        def tulle_exporters(): return {"x": 3}
        """,
        "TypeError: tulle_exporters gave 3 for 'x'; expected a factory",
    ),
    "gives a class for a policy": (
        """
        from tulle_plugin_api import Policy, hookimpl
        class P(Policy): pass
        @hookimpl
        def tulle_policies(): return {"x": P}
        """,
        "expected an instance of tulle_plugin_api.Policy",
    ),
    "has a policy without configuration type": (
        """
        from tulle_plugin_api import Policy, hookimpl
        class P(Policy):
            def build(self, config, next, runtime): return next
        @hookimpl
        def tulle_policies(): return {"x": P()}
        """,
        "TypeError: policy 'x' has no `config`; set it to a subclass of tulle_plugin_api.Config",
    ),
    "names by number": (
        """
        from tulle_plugin_api import hookimpl
        @hookimpl
        def tulle_catalogs(): return {1: print}
        """,
        "TypeError: tulle_catalogs gave the name 1; expected a string",
    ),
    "gives checks that are none": (
        """
        from tulle_plugin_api import hookimpl
        @hookimpl
        def tulle_checks(): return ["kernel"]
        """,
        "TypeError: tulle_checks gave 'kernel'; expected a tulle_plugin_api.Check",
    ),
    "is of another time": (
        f"TULLE_CONTRACT = 2\n{GOOD % 'future'}",
        "OtherContract: written for plugin contract 2, this is 1; upgrade Tulle, or use an older plugin",
    ),
    "is of the past": (
        f"TULLE_CONTRACT = 0\n{GOOD % 'past'}",
        "OtherContract: written for plugin contract 0, this is 1; upgrade the plugin",
    ),
    "is of another time and imports what there is not": (
        "from tulle_plugin_api import Telepathy\nTULLE_CONTRACT: int = 2  # the next one",
        "OtherContract: written for plugin contract 2, this is 1; ",
    ),
    "is of this time and imports what there is not": (
        "from tulle_plugin_api import Telepathy\nTULLE_CONTRACT = 1",
        "ImportError: cannot import name 'Telepathy'",
    ),
    "states its contract in words": (
        f"TULLE_CONTRACT = '1'\n{GOOD % 'words'}",
        "OtherContract: TULLE_CONTRACT is '1'; expected a whole number, and this is contract 1",
    ),
    "means yes by True": (
        f"TULLE_CONTRACT = True\n{GOOD % 'yes'}",
        "OtherContract: TULLE_CONTRACT is True; expected a whole number, and this is contract 1",
    ),
    "takes a name that is taken": (
        GOOD % "first",
        "RuntimeError: balancer 'first' is already provided by another plugin; rename one of them",
    ),
    "breaks off half way": (
        """
        from tulle_plugin_api import hookimpl
        @hookimpl
        def tulle_balancers(): return {"half": print}
        @hookimpl
        def tulle_exporters(): return {"other-half": 3}
        """,
        "TypeError: tulle_exporters gave 3 for 'other-half'; expected a factory",
    ),
}


@pytest.mark.parametrize("what", MISBEHAVING)
def test_a_plugin_that(what, site):
    code, error = MISBEHAVING[what]
    site("a-first", GOOD % "first")
    site("bad", code)
    site("c-last", GOOD % "last")
    plugins = load()
    assert set(errors(plugins)) == {"bad"}
    assert error in errors(plugins)["bad"]
    assert set(plugins.balancers) == {"first", "last"}
    assert not plugins.exporters
    assert not plugins.policies
    assert [info.state for info in plugins.infos] == ["loaded", "failed", "loaded"]


def test_a_plugin_that_says_this_contract_is_loaded(site):
    site("balancer-mine", f"TULLE_CONTRACT = 1\n{GOOD % 'mine'}")
    assert load().failures == []


def test_what_kind_a_plugin_is(site):
    site("balancer-mine", GOOD % "mine")
    site("policy-broken", "import no_such_module")
    site("broken", "import no_such_module")
    plugins = load({"everything": Everything()})
    kinds = {info.name: info.kind for info in plugins.infos}
    assert kinds == {
        "balancer-mine": "balancer",
        "policy-broken": "policy",
        "broken": "",
        "everything": "balancer, policy, exporter, catalog, checks",
    }


def test_ctrl_c_is_not_a_plugins_fault(site):
    site("bad", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load()


def test_two_distributions_with_one_entry_points_name(site):
    site("balancer-mine", GOOD % "one", distribution="one")
    site("balancer-mine", GOOD % "two", distribution="two")
    plugins = load()
    assert list(plugins.balancers) in (["one"], ["two"])
    (failed,) = plugins.failures
    assert failed.source in ("one", "two")
    assert "already registered" in failed.error


def test_a_host_imports_only_the_kinds_it_asks_for(site):
    site("balancer-mine", GOOD % "mine")
    site("catalog-heavy", "raise AssertionError('a proxy must not import this')")
    site("whatever", GOOD % "whatever")
    plugins = load(kinds=["balancer", "policy", "exporter"])
    assert set(plugins.balancers) == {"mine", "whatever"}
    assert [info.name for info in plugins.infos] == ["balancer-mine", "whatever"]


def test_built_ins_may_be_left_for_later(site):
    site("balancer-mine", GOOD % "mine", distribution="tulle-balancer-mine")
    site("balancer-never", "raise AssertionError('nobody asked for this')", distribution="tulle-balancer-never")
    site("balancer-theirs", GOOD % "theirs", distribution="acme-balancers")
    plugins = load(builtins_later=True)
    assert [info.name for info in plugins.infos] == ["balancer-theirs"], "a stranger's is judged at once"
    assert plugins.names("balancer") == ["mine", "never", "theirs"]
    assert plugins.find("balancer", "mine") is plugins.balancers["mine"]
    assert plugins.find("balancer", "mine") is not None
    assert plugins.find("balancer", "nobody") is None
    assert plugins.names("balancer") == ["mine", "never", "theirs"]


def test_what_is_asked_for_and_cannot_be_loaded_says_why(site):
    site("policy-broken", "import no_such_module", distribution="tulle-policy-broken")
    plugins = load(builtins_later=True)
    assert plugins.find("policy", "broken") is None
    said = plugins.missing("policy", "broken")
    assert said == (
        "policy 'broken' could not be loaded: ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert [info.name for info in plugins.failures] == ["policy-broken"]


def test_what_nobody_has_is_told_with_what_there_is(site):
    site("balancer-mine", GOOD % "mine")
    site("acme", "import no_such_module")
    plugins = load()
    assert plugins.missing("balancer", "yours") == (
        "balancer 'yours' is not installed; there are mine; not loaded: "
        "acme (ModuleNotFoundError: No module named 'no_such_module')"
    )
    assert plugins.missing("catalog", "x").startswith("catalog 'x' is not installed; there are none")


def test_what_is_installed_while_a_program_runs_is_found_when_it_is_asked_for(site):
    site("balancer-mine", GOOD % "mine")
    plugins = load(kinds=["balancer"])
    site("balancer-late", GOOD % "late")
    site("catalog-late", "raise AssertionError('not wanted here')")
    assert plugins.find("balancer", "mine") is not None
    assert "late" not in plugins.balancers, "nobody has asked"
    assert plugins.find("balancer", "late") is plugins.balancers["late"]
    assert [info.name for info in plugins.infos] == ["balancer-mine", "balancer-late"]


def test_what_is_uninstalled_while_a_program_runs_is_known_to_be_gone_and_works_on(site, tmp_path):
    site("balancer-mine", GOOD % "mine", distribution="acme")
    plugins = load({"by hand": Everything()})
    assert plugins.gone() == {}
    next(tmp_path.glob("acme-*.dist-info")).rename(tmp_path / "gone")
    assert plugins.gone() == {("balancer", "mine"): "acme"}
    assert plugins.find("balancer", "mine") is not None


def test_who_watches_is_told_of_each_import_and_its_end(site):
    site("balancer-mine", GOOD % "mine")
    site("policy-broken", "import no_such_module")
    told = []
    load(on_load=told.append)
    assert told == ["balancer-mine", "", "policy-broken", ""]


def test_who_provides_what_and_whether_it_is_the_meshs_own(site):
    site("acme", GOOD % "mine")
    site("balancer-own", GOOD % "own", distribution="tulle-balancer-own")
    plugins = load()
    assert plugins.provider("balancer", "mine") == "acme"
    assert plugins.provider("policy", "nobodys") == "policy-nobodys"
    assert [plugins.is_built_in("balancer", name) for name in ("mine", "own", "nobodys")] == [False, True, False]


class Everything:
    """A plugin given by hand, as an object, which provides one of each kind."""

    class Limit(Policy):
        """A policy."""

        config = type("LimitConfig", (Config,), {})

        def build(self, config, next, runtime):
            return next

    class Silent(Exporter):
        """An exporter."""

        def observe(self, exchange):
            pass

    @hookimpl
    def tulle_balancers(self):
        return {"b": lambda config, runtime: None}

    @hookimpl
    def tulle_policies(self):
        return {"p": self.Limit()}

    @hookimpl
    def tulle_exporters(self):
        return {"e": self.Silent}

    @hookimpl
    def tulle_catalogs(self):
        return {"c": lambda environment: None}

    @hookimpl
    def tulle_checks(self):
        return [Check("kernel", "is there", lambda: CheckResult(True))]


def test_a_plugin_by_hand_may_provide_every_kind(site):
    plugins = load({"mine": Everything()})
    assert plugins.failures == []
    assert plugins.infos[0].source == "Everything"
    assert plugins.infos[0].provides == ["balancer b", "policy p", "exporter e", "catalog c", "1 checks"]
    registries = (plugins.balancers, plugins.policies, plugins.exporters, plugins.catalogs)
    assert [list(registry) for registry in registries] == [["b"], ["p"], ["e"], ["c"]]
    assert plugins.checks[0].run().ok


def test_an_installed_plugin_comes_before_one_by_hand(site):
    site("balancer-b", GOOD % "b")
    plugins = load({"mine": Everything()})
    assert set(errors(plugins)) == {"mine"}
    assert not plugins.policies, "all of a plugin's contributions or none"
