# The only commands to know. Each does the set-up that it needs (scripts/setup; nothing when nothing changed).
.PHONY: demo learn test lint bench bench-profile bench-costs fuzz e2e proto acceptance alone lock clean
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE
PY := .venv/bin/python

help:            ## this list
	@grep -hE '^[a-z0-9-]+: .*##|^[a-z0-9-]+:  *##' Makefile | sed -E 's/:.*## */\t/' | expand -t 14

demo: setup      ## the whole mesh on this machine, told as a story (KEEP=1 leaves it running)
	@.venv/bin/tulle demo $(if $(KEEP),--keep)

learn: setup     ## how a mesh works, by writing its parts: opens your next lesson
	@.venv/bin/tulle learn

test: setup      ## all tests
	@.venv/bin/pytest $(ARGS)

lint: setup      ## ruff, mypy --strict, import rules, generated code
	@scripts/lint

acceptance: setup ## figures with their bars, one a line (FULL=1: the long ones too)
	@$(PY) -m tests.acceptance

alone: setup     ## each package installed alone, its tests run
	@scripts/alone

bench: setup     ## next to Envoy, HAProxy and nginx, in one run of a minute (FULL=1: half an hour, all rows)
	@scripts/bench $(if $(FULL),--full)

bench-profile: setup ## what one request costs, layer by layer
	@scripts/bench profile

bench-costs: setup ## what each policy and each exporter adds to a request, as a ratio to none
	@scripts/bench costs

fuzz: setup      ## what must hold of the HTTP/1.1 codec for all bytes (SECONDS=15 for each target)
	@scripts/fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

e2e: setup       ## the mesh on a real Kubernetes cluster (kind), where there is one
	@scripts/e2e

proto: setup     ## regenerate packages/api from proto/
	@scripts/proto

lock: setup      ## renew constraints.txt (UPGRADE=1: newer versions)
	@scripts/lock

clean:           ## remove what set-up and tests made
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

demo learn: export SETUP := lab
setup:
	@scripts/setup $(SETUP)
.PHONY: help setup
