"""Finds and loads plugins. One bad plugin never stops the others, and is named with what is wrong.

Owns entry points (group "tulle"), registration, and the registries by name. Refuses to know what plugins do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import invalidate_caches
from typing import Any

import pluggy

from tulle_plugin_api import hookspecs
from tulle_plugin_api.config import did_you_mean
from tulle_plugin_api.entrypoints import EntryPoint, entry_points, stated_contract
from tulle_plugin_api.protocols import BalancerFactory, CatalogFactory, Check, Config, ExporterFactory, Policy

GROUP = "tulle"
CONTRACT_ATTRIBUTE = "TULLE_CONTRACT"


@dataclass
class PluginInfo:
    """One row of `tulle plugins list`."""

    name: str
    version: str = ""
    source: str = ""  # distribution, or module for plugins given by hand
    provides: list[str] = field(default_factory=list)  # ["policy timeout"]
    error: str = ""  # empty: loaded

    @property
    def state(self) -> str:
        """"loaded" or "failed"."""
        return "failed" if self.error else "loaded"

    @property
    def kind(self) -> str:
        """What it is: "balancer", or "balancer, policy"; of one that failed, what its entry point's name says."""
        kinds = dict.fromkeys("checks" if one.endswith(" checks") else one.split(" ")[0] for one in self.provides)
        if not kinds and self.name.split("-", 1)[0] in KINDS:
            kinds = {self.name.split("-", 1)[0]: None}
        return ", ".join(kinds)


@dataclass
class Plugins:
    """Everything that loaded, by name; and `infos` about everything that was found."""

    infos: list[PluginInfo] = field(default_factory=list)
    balancers: dict[str, BalancerFactory] = field(default_factory=dict)
    policies: dict[str, Policy[Any]] = field(default_factory=dict)
    exporters: dict[str, ExporterFactory] = field(default_factory=dict)
    catalogs: dict[str, CatalogFactory] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    later: dict[str, EntryPoint] = field(default_factory=dict)
    """Built-ins that are imported when somebody asks for them, by their entry points' names."""
    manager: pluggy.PluginManager = field(default_factory=lambda: _manager(), repr=False, compare=False)

    kinds: tuple[str, ...] | None = ()
    """Those that `load` was asked for; None: all. Empty where no `load` has made this: then nothing is looked for."""
    on_load: Callable[[str], None] | None = None
    """Told the name of each plugin before it is imported, and "" after: for who watches that this ends."""

    def find(self, kind: str, name: str) -> Any:
        """What is registered as `name` ("policy", "retry"), imported now if that was left for later; else None.

        A name that nobody has may have been installed since: it is looked for (`look_again`).
        """
        entry = self.later.pop(f"{kind}-{name}", None)
        if entry is not None:
            _load_entry(self, entry)
        elif name not in self._registry(kind):
            self.look_again()
        return self._registry(kind).get(name)

    def look_again(self) -> list[PluginInfo]:
        """Load what has been installed since; those found. What is loaded stays as it is, also when it was upgraded."""
        if self.kinds == ():
            return []
        known = {info.name for info in self.infos} | set(self.later)
        found = [e for e in entry_points(GROUP) if e.name not in known and _wanted(e.name, self.kinds)]
        if found:
            invalidate_caches()  # of which files there are
        return [_load_entry(self, entry) for entry in found]

    def missing(self, kind: str, name: str) -> str:
        """Why `find` gives None: its plugin could not be loaded, with its error; or there is none of that name."""
        failed = next((info for info in self.failures if info.name == f"{kind}-{name}"), None)
        if failed is not None:
            return f"{kind} {name!r} could not be loaded: {failed.error}"
        why = f"{kind} {name!r} is not installed; there are {', '.join(self.names(kind)) or 'none'}"
        # a plugin of another name may have had it
        others = [f"{info.name} ({info.error})" for info in self.failures if info.kind in ("", kind)]
        return f"{why}; not loaded: {', '.join(others)}" if others else why

    def provider(self, kind: str, name: str) -> str:
        """The plugin that registered `name`, as `tulle plugins list` calls it."""
        provided = f"{kind} {name}"
        return next((info.name for info in self.infos if provided in info.provides), f"{kind}-{name}")

    def is_built_in(self, kind: str, name: str) -> bool:
        """Whether it is the mesh's own: from the distribution `tulle-KIND-NAME`."""
        plugin = self.provider(kind, name)
        return any(info.name == plugin and info.source == f"tulle-{plugin}" for info in self.infos)

    def gone(self) -> dict[tuple[str, str], str]:
        """What is registered, by kind and name, though its distribution has been uninstalled; with which one it was."""
        there = {entry.name for entry in entry_points(GROUP)}
        left = [info for info in self.infos if info.provides and info.version and info.name not in there]
        kinds = {word for _, _, word in _REGISTRIES}
        pairs = [(tuple(one.split(" ", 1)), info.source) for info in left for one in info.provides]
        return {(pair[0], pair[1]): source for pair, source in pairs if pair[0] in kinds}

    def names(self, kind: str) -> list[str]:
        """What there is of a kind, imported or not, sorted."""
        later = [name.removeprefix(f"{kind}-") for name in self.later if name.startswith(f"{kind}-")]
        return sorted([*self._registry(kind), *later])

    def _registry(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = getattr(self, next(attribute for _, attribute, word in _REGISTRIES if word == kind))
        return found

    @property
    def failures(self) -> list[PluginInfo]:
        """Those that did not load."""
        return [info for info in self.infos if info.error]


# hook, registry on Plugins, word in `provides`
_REGISTRIES = (
    ("tulle_balancers", "balancers", "balancer"),
    ("tulle_policies", "policies", "policy"),
    ("tulle_exporters", "exporters", "exporter"),
    ("tulle_catalogs", "catalogs", "catalog"),
)

KINDS = ("checks", *(word for _, _, word in _REGISTRIES))
"""The words with which an entry point's name may begin, followed by a hyphen."""


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def load(
    extra: Mapping[str, object] | None = None,
    *,
    kinds: Iterable[str] | None = None,
    builtins_later: bool = False,
    on_load: Callable[[str], None] | None = None,
) -> Plugins:
    """Load every installed plugin, then `extra` (name -> module or object). Never raises for a plugin's fault.

    `kinds`: only entry points whose name starts with one of these words and a hyphen ("balancer", "policy",
    "exporter", "catalog", "checks"), or with none of them. A proxy thus never imports a catalog.

    `builtins_later`: the mesh's own (distribution `tulle-KIND-NAME`, entry point `KIND-NAME`) are imported when
    `Plugins.find` asks for them, so that a proxy's memory follows what it is configured to do. Anybody else's are
    imported at once: one that is broken must be told of when the program starts, not when it is needed.

    `on_load`: see Plugins.
    """
    plugins = Plugins(kinds=None if kinds is None else tuple(kinds), on_load=on_load)
    for entry in entry_points(GROUP):
        if not _wanted(entry.name, plugins.kinds):
            continue
        if builtins_later and entry.distribution == f"tulle-{entry.name}":
            plugins.later[entry.name] = entry
            continue
        _load_entry(plugins, entry)
    for name, plugin in (extra or {}).items():
        info = PluginInfo(name, source=getattr(plugin, "__name__", type(plugin).__name__))
        _load_one(plugins, info, lambda plugin=plugin: plugin)
    return plugins


def _wanted(name: str, kinds: Iterable[str] | None) -> bool:
    if kinds is None:
        return True
    kind = name.split("-", 1)[0]
    return kind in kinds or kind not in KINDS


def _load_entry(plugins: Plugins, entry: EntryPoint) -> PluginInfo:
    info = PluginInfo(entry.name, entry.version, entry.distribution)
    _load_one(plugins, info, lambda: _import(entry))
    return info


def _load_one(plugins: Plugins, info: PluginInfo, load: Any) -> None:
    plugins.infos.append(info)
    watched = plugins.on_load or (lambda name: None)
    watched(info.name)
    try:
        plugin = load()
        _check_contract(plugin)
        plugins.manager.register(plugin, info.name)  # checks the hooks' signatures, and that names differ
        _collect(plugins, plugin, info)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's module does on import: SystemExit, a panic in Rust, ...
        info.error = f"{type(error).__name__}: {error}"
    finally:
        watched("")


def _import(entry: EntryPoint) -> object:
    # Written for another contract, it may fail to import before it can say so: then its source is asked.
    try:
        return entry.load()
    except Exception as error:
        wanted = stated_contract(entry.value)
        if wanted is not None and wanted != hookspecs.CONTRACT_VERSION:
            raise OtherContract(wanted) from error
        raise


class OtherContract(RuntimeError):
    """A plugin says that it was written for another version of the contract than this one."""

    def __init__(self, wanted: object) -> None:
        here = hookspecs.CONTRACT_VERSION
        if type(wanted) is int:
            way = "upgrade Tulle, or use an older plugin" if wanted > here else "upgrade the plugin"
            super().__init__(f"written for plugin contract {wanted}, this is {here}; {way}")
        else:
            super().__init__(f"TULLE_CONTRACT is {wanted!r}; expected a whole number, and this is contract {here}")


def _check_contract(plugin: object) -> None:
    wanted = getattr(plugin, CONTRACT_ATTRIBUTE, hookspecs.CONTRACT_VERSION)
    if wanted != hookspecs.CONTRACT_VERSION or type(wanted) is not int:
        raise OtherContract(wanted)
    known = [name for name in dir(hookspecs) if name.startswith("tulle_")]
    named = [name for name in dir(plugin) if name.startswith("tulle_") and callable(getattr(plugin, name))]
    for name in named:
        marked = hasattr(getattr(plugin, name), "tulle_impl")
        if marked and name not in known:
            hint = did_you_mean(name, known, f"there are {', '.join(known)}")
            raise RuntimeError(f"implements the unknown hook {name}; {hint}")
        if name in known and not marked:
            raise RuntimeError(f"{name} is not marked; put @tulle_plugin_api.hookimpl above it")
    if not set(named) & set(known):
        raise RuntimeError(f"implements no hook; there are {', '.join(known)}")


def _collect(plugins: Plugins, plugin: object, info: PluginInfo) -> None:
    # all of a plugin's contributions or none: collected first, then entered
    found: list[tuple[dict[str, Any], str, str, Any]] = []
    for hook, attribute, word in _REGISTRIES:
        registry: dict[str, Any] = getattr(plugins, attribute)
        for name, value in _call(plugin, hook, {}).items():
            if name in registry:
                raise RuntimeError(f"{word} {name!r} is already provided by another plugin; rename one of them")
            if not isinstance(name, str):
                raise TypeError(f"{hook} gave the name {name!r}; expected a string")
            if not (isinstance(value, Policy) if word == "policy" else callable(value)):
                right = "an instance of tulle_plugin_api.Policy" if word == "policy" else "a factory"
                raise TypeError(f"{hook} gave {value!r} for {name!r}; expected {right}")
            if word == "policy" and not _is_config(getattr(value, "config", None)):
                raise TypeError(f"policy {name!r} has no `config`; set it to a subclass of tulle_plugin_api.Config")
            found.append((registry, name, word, value))
    checks = list(_call(plugin, "tulle_checks", []))
    for check in checks:
        if not isinstance(check, Check):
            raise TypeError(f"tulle_checks gave {check!r}; expected a tulle_plugin_api.Check")
    for registry, name, word, value in found:
        registry[name] = value
        info.provides.append(f"{word} {name}")
    plugins.checks += checks
    if checks:
        info.provides.append(f"{len(checks)} checks")


def _is_config(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Config)


def _call(plugin: object, hook: str, nothing: Any) -> Any:
    function = getattr(plugin, hook, None)
    if function is None or not hasattr(function, "tulle_impl"):
        return nothing
    result = function()
    if not isinstance(result, Mapping if isinstance(nothing, dict) else Iterable):
        wanted = "mapping by name" if isinstance(nothing, dict) else "list"
        raise TypeError(f"{hook} returned {type(result).__name__}; expected a {wanted}")
    return result
