# Two targets do all set-up on a bare machine with Python 3.11 or newer, make, gcc and Node 20:
#   make serve   install, then run the server
#   make test    install, lint, types, architecture, all tests
.POSIX:
.PHONY: serve test install install-dev lint format types unit stores clients lock bench chaos clean

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

serve: install
	$(BIN)/ingot serve $(ARGS)

test: install-dev lint types unit

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.installed: locks/runtime.txt pyproject.toml scripts/install.sh
	sh scripts/install.sh runtime

$(VENV)/.installed-dev: locks/dev.txt pyproject.toml scripts/install.sh tests/e2e/node/package-lock.json
	sh scripts/install.sh dev

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: install-dev
	$(BIN)/mypy

# One process for each core; a file's tests stay together, as they share their servers. ARGS="-n0" runs them one by one.
unit: install-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Rewrites the hashed locks from pyproject.toml; commit what it changes.
lock:
	sh scripts/lock.sh

# Ingot, nginx and LiteLLM before one mock upstream; needs wrk and nginx (Debian packages).
bench: install-dev
	$(BIN)/python -m benchmarks $(ARGS)

# The suites of store, limits and retries: SQLite and memory, PostgreSQL, PostgreSQL with Valkey; INGOT_EXAMPLES=2000 digs deep.
stores: install-dev
	$(BIN)/python -m pytest tests/store tests/limits tests/unit/limits tests/unit/services/test_idempotency.py $(ARGS)

# Every client of the matrix in an environment of its own; then the page of what holds, docs/reference/clients.md.
clients: install-dev
	INGOT_CLIENTS=$${INGOT_CLIENTS:-all} $(BIN)/python -m pytest tests/clients $(ARGS)
	$(BIN)/python tests/reference.py
	cat docs/reference/clients.md

# Every fault at length, then the table of what came of it, benchmarks/results/faults.md. INGOT_CHAOS_SEED repeats a run;
# _RUNS, _LOAD, _HOLD (seconds), _KILLS, _COMMITS and _FLOOD say how much is done.
chaos: install-dev
	rm -rf .build/faults && mkdir -p .build/faults
	INGOT_CHAOS_REQUESTS=$${INGOT_CHAOS_REQUESTS:-10000} INGOT_CHAOS_RUNS=$${INGOT_CHAOS_RUNS:-3} \
	INGOT_CHAOS_LOAD=$${INGOT_CHAOS_LOAD:-4} INGOT_CHAOS_HOLD=$${INGOT_CHAOS_HOLD:-60} \
	INGOT_CHAOS_KILLS=$${INGOT_CHAOS_KILLS:-20} INGOT_CHAOS_COMMITS=$${INGOT_CHAOS_COMMITS:-500} \
	INGOT_CHAOS_FLOOD=$${INGOT_CHAOS_FLOOD:-200} INGOT_FAULTS="$$PWD/.build/faults" \
	$(BIN)/python -m pytest tests/chaos -s $(ARGS); status=$$?; \
	PYTHONPATH=src:tests $(BIN)/python -m faults.table .build/faults benchmarks/results/faults.md && exit $$status

clean:
	rm -rf $(VENV) .tools .build dist tests/e2e/node/node_modules
