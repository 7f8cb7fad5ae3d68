"""docker-bake.hcl names the Dockerfile's targets, and the values that they take: without Docker."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BAKE = (ROOT / "docker-bake.hcl").read_text()
PROGRAMS = ["init", "proxy", "control-plane", "admission-controller", "sample-app"]


def test_each_image_is_a_target_of_both_and_has_its_name():
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    targets = dict(re.findall(r'target "([a-z-]+)" \{(.*?)\n\}', BAKE, re.DOTALL))
    images = [name for name in targets if name != "common"]
    assert images == [*PROGRAMS, "lab"]
    for name in images:
        assert name in stages
        assert f'target   = "{name}"' in targets[name]
        assert f'tags     = ["${{REGISTRY}}tulle/{name}:${{TAG}}"]' in targets[name]
        assert 'inherits = ["common"]' in targets[name]
        assert f"org.opencontainers.image.title=tulle-{name}" in DOCKERFILE
    default = re.search(r'group "default" \{\s*targets = \[([^]]*)]', BAKE)[1]
    assert re.findall(r'"([^"]+)"', default) == PROGRAMS
    assert re.search(r"\|\| targets=\(([^)]*)\)\n", scripts("images"))[1].split() == PROGRAMS


def scripts(name):
    return (ROOT / "scripts" / name).read_text()


def test_two_architectures_and_arguments_that_the_dockerfile_takes():
    assert 'platforms = ["linux/amd64", "linux/arm64"]' in BAKE
    block = re.search(r"args = \{(.*?)\}", BAKE, re.DOTALL)[1]
    given = set(re.findall(r"^\s*([A-Z_]+)\s*=", block, re.MULTILINE)) - {"SOURCE_DATE_EPOCH"}  # BuildKit's own
    assert given <= set(re.findall(r"^ARG ([A-Z]+)", DOCKERFILE, re.MULTILINE))


def test_labels_say_nothing_of_when_or_where_an_image_was_built():
    """The same commit gives the same labels: no date, no host, no user."""
    labels = set(re.findall(r"org\.opencontainers\.image\.([a-z]+)=", DOCKERFILE))
    assert labels == {"version", "revision", "licenses", "vendor", "title"}
    assert "LABEL" in DOCKERFILE
    assert not re.search(r"\$\(date|`date|hostname", DOCKERFILE)
