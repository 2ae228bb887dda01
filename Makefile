# `make up` runs Vigil with everything embedded; `make test` passes the tests. Nothing else to install first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PYTHONHASHSEED ?= random

.PHONY: up test fuzz check lint lock clean

up: $(READY)  ## Temporal, PostgreSQL, sandbox, worker, API; Ctrl-C stops what it started
	@exec $(BIN)/vigil up

test: $(READY)  ## every test, on the real servers
	$(BIN)/pytest $(ARGS)

fuzz: $(READY)  ## 200,000 mutated answers for every reader, and bombs (some ten minutes); ARGS="--seed 2 x12"
	$(BIN)/python -m tests.fuzz $(ARGS)

check: lint test  ## what CI runs

lint: $(READY)  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(READY)  ## pin everything anew, with hashes (needs `uv`)
	uv pip compile -q pyproject.toml --group dev --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --python-version 3.11 --upgrade -o requirements.lock

clean:  ## remove the environment; keeps .vigil and its keys
	rm -rf $(VENV)

$(READY): requirements.lock pyproject.toml
	@echo "Setting up the environment in $(VENV) (a minute, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
