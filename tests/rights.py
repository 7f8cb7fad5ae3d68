"""The rights that docs/install.md says Tulle's service accounts have, read from its table; and those deploy/ gives.

Both as {account: {resource: {verbs}}}, a resource being "pods", "pods/status", "leases.coordination.k8s.io", with
"=name" behind it where the right is to one object, as kubectl's `auth can-i --list` tells them. A row of the table:

    | account (empty: as above) | verb, verb: `resource`, `resource=name` | because |
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_HEAD = "| service account | may | because |"
_ROW = re.compile(r"\| *(?P<account>[a-z-]*) *\| *(?P<verbs>[a-z, ]+): (?P<what>[^|]+)\| *(?P<why>[^|]+) *\|$")


def documented(text=None):
    """Of docs/install.md. A row that cannot be read fails, and so does one without a reason."""
    text = (ROOT / "docs/install.md").read_text() if text is None else text
    table = text[text.index(_HEAD) :].split("\n\n")[0].splitlines()[2:]
    found, account = {}, ""
    for line in table:
        row = _ROW.match(line)
        assert row, f"not a row of rights: {line}"
        assert row["why"].strip(), line
        account = row["account"] or account
        resources = re.findall(r"`([^`]+)`", row["what"])
        assert resources, line
        for resource in resources:
            verbs = found.setdefault(account, {}).setdefault(resource, set())
            verbs |= {each.strip() for each in row["verbs"].split(",")}
    return found


def granted(objects):
    """Of Roles and ClusterRoles, to whom they are bound. A role that nobody is bound to is an error."""
    roles = {(each["kind"], each["metadata"]["name"]): each for each in objects if each["kind"].endswith("Role")}
    found, bound = {}, set()
    for binding in (each for each in objects if each["kind"].endswith("RoleBinding")):
        key = binding["roleRef"]["kind"], binding["roleRef"]["name"]
        bound.add(key)
        for subject in binding["subjects"]:
            assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", "tulle-system"), subject
            for resource, verbs in _rules(roles[key]):
                found.setdefault(subject["name"], {}).setdefault(resource, set()).update(verbs)
    assert bound == roles.keys()
    return found


def _rules(role):
    for rule in role["rules"]:
        assert "nonResourceURLs" not in rule
        for group in rule["apiGroups"]:
            for plural in rule["resources"]:
                kind, slash, part = plural.partition("/")
                resource = kind + ("." + group if group else "") + slash + part
                for name in rule.get("resourceNames", [""]):
                    yield (f"{resource}={name}" if name else resource), rule["verbs"]


def of_deploy(overlay="default"):
    """`granted` of what `tulle install` applies."""
    from tulle_cli.cluster import manifests

    return granted(manifests.rendered(overlay))


def listed(output):
    """Of `kubectl auth can-i --list`: {resource: {verbs}}."""
    found = {}
    for line in output.splitlines()[1:]:
        # RESOURCES   [NON-RESOURCE URLS]   [RESOURCE NAMES]   [VERBS]
        row = re.match(r"(?P<what>\S+) +\[(?P<urls>[^]]*)\] +\[(?P<names>[^]]*)\] +\[(?P<verbs>[^]]*)\]", line)
        if row is None:
            assert line.startswith(" "), line  # of URLs only
            continue
        for name in row["names"].split() or [""]:
            what = f"{row['what']}={name}" if name else row["what"]
            found.setdefault(what, set()).update(row["verbs"].split())
    return found
