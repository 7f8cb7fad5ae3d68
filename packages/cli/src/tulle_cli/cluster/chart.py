"""The Helm chart, made of deploy/: the same objects as `tulle install` applies, with what it can be told as values.

Owns which parts of an object become a value, and the chart's files. Pure but for `write`. There is no second source:
where the overlays "default" and "ha" differ, both are in the template, and `.Values.ha` chooses. What deploy/ holds is
otherwise printed as it is. tests/test_chart.py compares what Helm renders of it with what `tulle install` applies.

How an expression of Helm comes into the YAML: an object holds a word of `_Words` in its place, is dumped, and the word
is replaced afterwards (so that only PyYAML ever quotes). Braces of our own texts are escaped before that.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml

from tulle_cli.cluster import manifests
from tulle_cli.cluster.manifests import Object
from tulle_cli.errors import CliError

NAME = "tulle"
_VERSION_LABEL = "app.kubernetes.io/version"
_MANAGED_BY = "app.kubernetes.io/managed-by"
_PROGRAMS = {"tulle-control-plane": "controlPlane", "tulle-admission-controller": "admissionController"}
"""Deployment -> what its values are called."""
_INJECTED = {"TULLE_INIT_IMAGE", "TULLE_PROXY_IMAGE"}

_HELPERS = """\
{{- /* An image: (list $ "tulle/proxy"), with the registry and the tag that the values say. */}}
{{- define "tulle.image" -}}
{{- $root := index . 0 -}}
{{- $tag := $root.Values.tag | default $root.Chart.AppVersion -}}
{{- with $root.Values.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ index . 1 }}:{{ $tag }}
{{- end }}
"""

_NOTES = """\
Tulle is installed. A namespace joins with

    kubectl label namespace NAME tulle.dev/inject=enabled

and pods made from then on have a proxy. The command for the rest:

    export TULLE_API=kubernetes
    tulle check && tulle stat -A
"""

_HEAD = "# Made by `tulle install --helm` from deploy/; changes belong there.\n"


class _Words:
    """Words that stand for Helm's expressions until the YAML is text."""

    def __init__(self) -> None:
        self._said: list[str] = []

    def word(self, expression: str) -> str:
        """A scalar in whose place `expression` will stand."""
        self._said.append(expression)
        return f"HELM-{len(self._said) - 1:03}-HELM"

    def block(self, expression: str) -> str:
        """As `word`, for lines that take the place of a list's item or a mapping's value, indented as it is."""
        return self.word("\n" + expression)

    def text(self, objects: list[Object]) -> str:
        """The objects as a template."""
        dumped = yaml.safe_dump_all(objects, sort_keys=False, width=1000)
        lines = []
        for line in _escaped(dumped).splitlines():
            for number, expression in enumerate(self._said):
                word = f"HELM-{number:03}-HELM"
                if word in line and expression.startswith("\n"):
                    indent = " " * (len(line) - len(line.lstrip()))
                    first = line.partition(word)[0].rstrip()
                    shown = [] if first.strip() == "-" else [first]
                    line = "\n".join([*shown, *(indent + each for each in expression[1:].splitlines())])
                else:
                    line = line.replace(word, expression)
            lines.append(line)
        return "\n".join(lines) + "\n"


def files() -> dict[str, str]:
    """Path in the chart -> its content. The same bytes each time."""
    usual, ha = manifests.rendered("default"), manifests.rendered("ha")
    chart = {
        "Chart.yaml": _HEAD + yaml.safe_dump(_chart(usual), sort_keys=False),
        "values.yaml": _values(usual),
        "values.schema.json": json.dumps(_schema(), indent=1) + "\n",
        "templates/_helpers.tpl": _HELPERS,
        "templates/NOTES.txt": _NOTES,
    }
    for each in ha:
        path = f"templates/{each['kind'].lower()}-{each['metadata']['name']}.yaml"
        assert path not in chart, path
        chart[path] = _HEAD + _template(_same(usual, each), each)
    assert all(_same(ha, each) for each in usual)
    return chart


def write(folder: Path) -> list[Path]:
    """Write the chart. Raises CliError where `folder` holds anything that is not an earlier chart of ours."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not _is_ours(folder))):
        raise CliError(
            f"{folder} holds something else",
            "a chart is written into a new folder, or over the chart that was made there before",
            f"name another: tulle install --helm {folder}/tulle",
        )
    chart = files()
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        if path.is_file() and str(path.relative_to(folder)) not in chart and path.parent.name == "templates":
            path.unlink()  # an object that this version has not any more
    for name, content in chart.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return [folder / name for name in chart]


def _is_ours(folder: Path) -> bool:
    chart = folder / "Chart.yaml"
    return chart.is_file() and chart.read_text().startswith(_HEAD)


def _same(objects: list[Object], wanted: Object) -> Object | None:
    key = (wanted["kind"], wanted["metadata"]["name"])
    return next((each for each in objects if (each["kind"], each["metadata"]["name"]) == key), None)


def _template(usual: Object | None, ha: Object) -> str:
    """One object; where `ha` makes a difference, as either says."""
    if ha["kind"] == "Namespace":  # `helm install -n tulle-system --create-namespace` has made it
        return f'{{{{- if ne .Release.Namespace "{ha["metadata"]["name"]}" }}}}\n{_text(ha)}{{{{- end }}}}\n'
    if usual is None:
        return "{{- if .Values.ha }}\n" + _text(ha) + "{{- end }}\n"
    if usual == ha:
        return _text(ha)
    return "{{- if .Values.ha }}\n" + _text(ha) + "{{- else }}\n" + _text(usual) + "{{- end }}\n"


def _text(source: Object) -> str:
    words, each = _Words(), copy.deepcopy(source)
    each["metadata"].setdefault("labels", {})[_MANAGED_BY] = words.word("{{ .Release.Service }}")
    if each["kind"] == "Deployment":
        _deployment(words, each)
    return words.text([each])


def _deployment(words: _Words, each: Object) -> None:
    values = _PROGRAMS[each["metadata"]["name"]]
    spec = each["spec"]
    spec["replicas"] = words.word(f"{{{{ .Values.{values}.replicas | default {spec['replicas']} }}}}")
    (container,) = spec["template"]["spec"]["containers"]
    container["image"] = words.word(_image(container["image"]))
    container["imagePullPolicy"] = words.word("{{ .Values.pullPolicy }}")
    container["resources"] = words.block(f"{{{{- toYaml .Values.{values}.resources | nindent 10 }}}}")
    settings = [f"{{{{- range $name, $value := .Values.{values}.settings }}}}"]
    settings += ["- name: {{ $name }}", "  value: {{ $value | quote }}", "{{- end }}"]
    for variable in container["env"]:
        name = variable["name"]
        if name in _INJECTED:  # an image, unless a setting names one
            settings += [f'{{{{- if not (hasKey .Values.{values}.settings "{name}") }}}}']
            settings += [f"- name: {name}", f"  value: {_image(variable['value'])}", "{{- end }}"]
    others = [variable for variable in container["env"] if "value" not in variable]  # of the pod, not of a person
    container["env"] = [*others, words.block("\n".join(settings))]


def _image(name: str) -> str:
    return f'{{{{ include "tulle.image" (list $ "{name.partition(":")[0]}") | quote }}}}'


def _escaped(text: str) -> str:
    """Braces of our own, which Helm would take for its."""
    return text.replace("{{", '{{ "{{" }}')


def _chart(objects: list[Object]) -> Object:
    version = objects[0]["metadata"]["labels"][_VERSION_LABEL]
    return {
        "apiVersion": "v2", "name": NAME, "version": version, "appVersion": version, "type": "application",
        "description": "A service mesh that a person can read, run, break and extend.",
        "kubeVersion": ">=1.30.0-0",
    }  # fmt: skip


def _settings(deployment: Object) -> dict[str, str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {
        each["name"]: each["value"] for each in container["env"] if "value" in each and each["name"] not in _INJECTED
    }


def _values(objects: list[Object]) -> str:
    programs: dict[str, Any] = {}
    for name, values in _PROGRAMS.items():
        deployment = next(each for each in objects if each["kind"] == "Deployment" and each["metadata"]["name"] == name)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        programs[values] = {
            "replicas": 0,
            "settings": _settings(deployment),
            "resources": container["resources"],
        }
    policy = container["imagePullPolicy"]
    return (
        _HEAD
        + "# Two of each program, with disruption budgets.\nha: false\n"
        + "# Where the images are: REGISTRY/tulle/proxy:TAG. Without a tag, the chart's appVersion.\n"
        + 'registry: ""\ntag: ""\n'
        + "# Of our own programs; of what is injected: admissionController.settings.TULLE_IMAGE_PULL_POLICY.\n"
        + f"pullPolicy: {policy}\n"
        + "# replicas 0: as `ha` says. settings: environment variables; the admission controller's are the defaults\n"
        + "# of every injected proxy too (tulle-admission-controller --help lists them).\n"
        + yaml.safe_dump(programs, sort_keys=False)
    )


def _schema() -> Object:
    """What values may be (JSON Schema draft 7): Helm refuses the rest by its path."""
    from tulle_admission_controller.config import SETTINGS

    def program(settings: Object) -> Object:
        return {
            "type": "object", "additionalProperties": False,
            "properties": {
                "replicas": {"type": "integer", "minimum": 0}, "settings": settings, "resources": {"type": "object"},
            },
        }  # fmt: skip

    text = {"type": "string"}
    known = {row[0]: {"type": "string", "description": row[3]} for row in SETTINGS}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "ha": {"type": "boolean"},
            "registry": text,
            "tag": text,
            "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
            "controlPlane": program({
                "type": "object", "propertyNames": {"pattern": "^TULLE_[A-Z0-9_]+$"}, "additionalProperties": text,
            }),
            "admissionController": program({"type": "object", "properties": known, "additionalProperties": False}),
            "global": {"type": "object"},
        },
    }  # fmt: skip
