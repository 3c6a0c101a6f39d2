# wasup. `make run` and `make test` need Python 3.11 or later, make and a C library; everything else comes from PyPI, pinned.

PYTHON ?= python3
BIN := .venv/bin
PYTEST_ARGS ?=
# The whole suite runs in processes beside each other, each file in one of them: its tests share a site, a server or a browser. Some
# tests (PYTEST_ARGS) run in one process, where `-s` shows what they print.
WORKERS ?= 2
WORKERS_ARGS = $(if $(strip $(PYTEST_ARGS)),,-n $(WORKERS) --dist loadfile --no-loadscope-reorder)

.PHONY: help run test test-long chaos soak lint lint-ruff lint-mypy lint-basedpyright lint-imports lint-environment format bench clean

help:
	@echo "make run     start the daemon, with an embedded Postgres unless DATABASE_URL is set"
	@echo "make test    all tests; PYTEST_ARGS='tests/supervisor -k restart' for some"
	@echo "make test-long  tests that take over half a minute each"
	@echo "make chaos   the chaos suite: kills every part of it for some minutes; SEED=n repeats a run"
	@echo "make soak    an hour (MINUTES=60) of traffic, churn and faults; fails when anything grows"
	@echo "make lint    ruff, mypy, basedpyright, import rules"
	@echo "make format  let ruff format the code"
	@echo "make bench   every benchmark, each prints its figures"
	@echo "make clean   remove the environment and caches; state directories stay"

run: check-python
	@$(PYTHON) deploy/venv.py run
	@set -e; \
	if [ -z "$$WASUP_STATE_DIR$$XDG_STATE_HOME" ] && [ "$$(id -u)" != 0 ] && ! [ -w "$${HOME:-/nonexistent}" ]; then \
	    WASUP_STATE_DIR="$(CURDIR)/.state"; export WASUP_STATE_DIR; \
	    echo "this user has no home directory to write to: state is kept in $$WASUP_STATE_DIR (set WASUP_STATE_DIR for other commands too)" >&2; \
	fi; \
	exec $(BIN)/wasup run

test: check-python
	@$(PYTHON) deploy/venv.py dev
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(WORKERS_ARGS) $(PYTEST_ARGS)

test-long: check-python
	@$(PYTHON) deploy/venv.py dev
	@$(BIN)/python -m pytest -m long -o faulthandler_timeout=0 $(PYTEST_ARGS)

chaos: check-python
	@$(PYTHON) deploy/venv.py dev
	@CHAOS_SEED="$(SEED)" $(BIN)/python -m pytest -m chaos -s -o faulthandler_timeout=0 $(PYTEST_ARGS)

MINUTES ?= 60

soak: check-python
	@$(PYTHON) deploy/venv.py dev
	@$(BIN)/python -m benchmarks soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(SOAK_ARGS)

lint: lint-ruff lint-mypy lint-basedpyright lint-imports

lint-ruff: lint-environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-mypy: lint-environment
	$(BIN)/mypy
	$(BIN)/mypy deploy/venv.py

lint-basedpyright: lint-environment
	$(BIN)/basedpyright

lint-imports: lint-environment
	$(BIN)/lint-imports

lint-environment: check-python
	@$(PYTHON) deploy/venv.py dev

format: check-python
	@$(PYTHON) deploy/venv.py dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: check-python
	@$(PYTHON) deploy/venv.py dev
	@$(BIN)/python -m benchmarks all

clean:
	rm -rf .venv .venv.lock .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: check-python
check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "wasup needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 …" >&2; exit 1; }
