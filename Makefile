# Corral: `make up` to see it run, `make test` to check it. `make help` lists the rest.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
NODES ?= 3
SEED ?=

.DEFAULT_GOAL := help
.PHONY: help setup up deps test unit check bench chaos clean ui ui-types ui-check screenshots

help: ## what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.run ## the environment to run Corral, from a hashed lock
up: $(VENV)/.run ## engine + server + 3 demo nodes on this machine, with a first page
	@exec $(BIN)/corral up --nodes $(NODES)

$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .uv uv

$(VENV)/bin/python: | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/run.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

deps: $(VENV)/.dev ## what the tests want: Python packages, and on Debian as root the Debian packages
	@sh tests/deps.sh

unit: $(VENV)/.dev ## the fast tests only
	$(BIN)/python -m pytest tests/unit -q -n 2

test: deps ## every test, coverage printed and held to its floors
	sh tests/run.sh

check: $(VENV)/.dev ## lint, format, types, contracts
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## every benchmark, JSON beside a line to read
	$(BIN)/python -m benchmarks

chaos: $(VENV)/.dev ## faults at the numbers of docs/reliability.md; SEED=n repeats a run
	$(BIN)/python -m corral.testing.chaos $(if $(SEED),--seed $(SEED))

ui/node_modules/.done: ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund --silent
	@touch $@

ui: ui/node_modules/.done ## build the page into the package (Node 20.19 or newer)
	cd ui && npm run --silent build

ui-types: ui/node_modules/.done $(VENV)/.dev ## the page's types anew, from the API's description
	$(BIN)/python -m corral.server.interface.web.describe ui/openapi.json
	cd ui && npm run --silent types

ui-check: ui/node_modules/.done $(VENV)/.dev ## the page's types and tests, and that the committed build is of these sources
	sh ui/check.sh

screenshots: $(VENV)/.dev ## the pictures in docs/images, of a real fleet in a real browser
	$(BIN)/python -m pytest -q tests/e2e/screenshots.py

lock: | $(UV) ## resolve requirements/*.txt anew from pyproject.toml
	$(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra server --group build pyproject.toml -o requirements/run.txt
	$(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra server --extra executors --group build --group dev pyproject.toml -o requirements/dev.txt

clean: ## remove the environment and caches (not your data in .corral)
	rm -rf $(VENV) .uv .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
