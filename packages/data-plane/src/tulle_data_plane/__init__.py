"""Tulle's data plane: a transparent proxy on trio. Start reading at stack.py, then driver.py."""

__version__ = "0.1.0"
