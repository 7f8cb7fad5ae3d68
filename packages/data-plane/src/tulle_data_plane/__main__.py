"""`tulle-proxy`, and `python -m tulle_data_plane`: starts the interpreter again, leaner, then runs main.py.

Owns how the process is set up, since a sidecar runs beside every pod and its memory is everybody's. Imports nothing
heavy before it has decided.
"""

import os
import sys

LEAN = "TULLE_LEAN"


def main() -> None:
    """Entry point. Never returns."""
    if sys.flags.optimize < 2 and os.environ.get(LEAN) != "off":
        # -OO drops docstrings (2 MB), no_debug_ranges the columns of tracebacks (1 MB). LEAN guards against a loop
        # should an interpreter ignore the flags.
        command = [sys.executable, "-OO", "-X", "no_debug_ranges", "-m", "tulle_data_plane", *sys.argv[1:]]
        environment = {**os.environ, LEAN: "off", "MALLOC_TRIM_THRESHOLD_": "131072"}
        # Compiled at installation (`tulle-proxy --check`), since a proxy's user may not write.
        compiled = os.path.join(sys.prefix, "tulle-pycache")
        if os.path.isdir(compiled):
            environment["PYTHONPYCACHEPREFIX"] = compiled
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
        os.execve(sys.executable, command, environment)

    from tulle_data_plane import lean

    lean.leave_out()
    from tulle_data_plane.main import main as run

    lean.put_back()
    run()


if __name__ == "__main__":
    main()
