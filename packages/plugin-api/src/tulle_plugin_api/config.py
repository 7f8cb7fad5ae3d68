"""From plain data (YAML, JSON) to a plugin's typed configuration, with errors that say what would be right.

Owns durations, the translation of validation errors, and JSON schemas. Webhook, CLI and control plane all call
this one code, so that they refuse the same things in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")

_DURATION = re.compile(r"([0-9]{1,5}(h|ms|m|s)){1,4}")  # GEP-2257
_DURATION_PART = re.compile(r"([0-9]+)(h|ms|m|s)")
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


class Duration(float):
    """Seconds, written as Gateway API durations (GEP-2257): "10s", "500ms", "1h30m"."""

    @classmethod
    def parse(cls, text: object) -> Duration:
        """Raises ValueError, with an example, for anything else."""
        if not isinstance(text, str) or not _DURATION.fullmatch(text):
            raise ValueError(f'expected a duration such as "10s", "500ms" or "1h30m", got {text!r}')
        return cls(sum(int(count) * _MILLISECONDS[unit] for count, unit in _DURATION_PART.findall(text)) / 1000)


def duration(text: str) -> Any:
    """The default of a Duration field: `per: Duration = duration("1s")`."""
    return msgspec.field(default_factory=lambda: Duration.parse(text))


Percent: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=100)]
"""A share in per cent, 0 to 100: `percent: 10` is one in ten."""


class ConfigError(ValueError):
    """Configuration refused. `problems`: one sentence each, starting with the field's path."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def decode(kind: type[T], data: Any, path: str = "spec.config") -> T:
    """`data` as `kind` (a Config). Raises ConfigError: the field's path, what was given, what would be right."""
    try:
        return msgspec.convert(data, kind, dec_hook=_decode_custom)
    except msgspec.ValidationError as error:
        raise ConfigError([_explain(str(error), kind, data, path)]) from None


def schema(kind: type[Any]) -> dict[str, Any]:
    """JSON schema of a configuration type, for the CRD and the docs."""
    return msgspec.json.schema(kind, schema_hook=_schema_custom)


def _decode_custom(kind: type[Any], value: Any) -> Any:
    if kind is Duration:
        return Duration.parse(value)
    raise NotImplementedError(f"{kind} is not a type that plugin configuration can hold")


def _schema_custom(kind: type[Any]) -> dict[str, Any]:
    if kind is Duration:
        return {"type": "string", "format": "duration", "examples": ["10s", "500ms"]}
    raise NotImplementedError(f"{kind} has no JSON schema")


def _explain(message: str, kind: type[Any], data: Any, path: str) -> str:
    # msgspec says "Expected `int`, got `str` - at `$.requests`"
    text, _, where = message.partition(" - at ")
    where = where.strip("`").removeprefix("$")
    unknown = re.search(r"unknown field `([^`]+)`", text)
    if unknown:
        known = _fields_at(kind, where)
        right = did_you_mean(unknown[1], known, f"known fields: {', '.join(known)}")
        return f"{path}{where}: unknown field {unknown[1]!r}; {right}"
    text = text[:1].lower() + text[1:].replace("`", "")
    if "missing required field" in text or not where:
        return f"{path}{where}: {text}"
    given = _at(data, where)
    return f"{path}{where}: {text}" if repr(given) in text else f"{path}{where}: {text} ({given!r})"


_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")  # ".name", "[3]", or "[...]" for a value of some key


def _fields_at(kind: type[Any], where: str) -> list[str]:
    """The names of the fields that the object at `where` may have."""
    info: Any = msgspec.inspect.type_info(kind)
    for name, _ in _STEP.findall(where):
        if name:
            info = {field.encode_name: field.type for field in info.fields}[name]
        else:  # of a list, or of a mapping
            info = info.item_type if hasattr(info, "item_type") else info.value_type
        if isinstance(info, msgspec.inspect.UnionType):  # "| None"; msgspec allows but one object in a union
            info = next(one for one in info.types if hasattr(one, "fields"))
    return [field.encode_name for field in info.fields]


def _at(data: Any, where: str) -> Any:
    for name, index in _STEP.findall(where):
        try:
            data = data[name] if name else data[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            break
    return data


def did_you_mean(given: object, known: Iterable[object], otherwise: str) -> str:
    """"did you mean 'x'?" when something known is close to `given`, else `otherwise`."""
    import difflib  # only those who made a mistake pay for it

    close = difflib.get_close_matches(str(given), [str(name) for name in known], 1)
    return f"did you mean {close[0]!r}?" if close else otherwise


def as_mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty one: for reading what may be malformed."""
    return value if isinstance(value, Mapping) else {}
