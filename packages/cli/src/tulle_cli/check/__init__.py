"""`tulle check`: sections of checks (one module a source), a runner, and two ways to print the outcome."""
