"""`bench` is a folder of the repository, not a distribution: it is found by its path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
