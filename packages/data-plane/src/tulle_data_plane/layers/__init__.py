"""One wrapping layer a file: each takes the next handler and returns a handler. stack.py puts them in order."""
