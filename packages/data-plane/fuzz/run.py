"""One target under atheris: `python -m fuzz.run TARGET FOLDER [libFuzzer's options]`, as `__main__` starts it.

Owns what has to happen in this order: instrument, import, set up, run. FOLDER gets the seeds as files, the words as a
dictionary, and whatever breaks the target. Does not return: libFuzzer ends the process, with a status that is not 0
when it has found something.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris


def main() -> None:
    """Run one target until its options say that it is enough."""
    name, folder, *options = sys.argv[1:]
    # What decides is followed step by step: our codec and, since what they do differs, the parser it is compared with.
    with atheris.instrument_imports(include=["tulle_data_plane.wire", "tulle_plugin_api.headers", "h11"]):
        from . import targets
    target = targets.TARGETS[name]
    corpus = Path(folder, "corpus")
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    words = Path(folder, "words")
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
    atheris.Setup([sys.argv[0], str(corpus), f"-dict={words}", f"-artifact_prefix={folder}/", *options], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
