# Needs `python3` (3.8 or newer, with venv and pip) and a network; every target first makes .venv,
# with the exact packages of requirements-dev.lock. ARGS="…" hands further arguments on.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= python3
STATE := .marketflow
UV_PINNED := connectors/local/uv.txt
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' $(UV_PINNED))
UV := $(STATE)/bootstrap/bin/uv
# Files that stand for a finished step: an interrupted one is done again from its start.
BOOTSTRAPPED := $(STATE)/bootstrap/uv-$(UV_VERSION)
INSTALLED := .venv/installed

.PHONY: help run live test test-k8s fuzz soak bench seed screenshots up down lint

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'

run: $(INSTALLED) ## Run everything on this machine, against a simulator of ten exchanges
	@.venv/bin/marketflow run $(ARGS)

live: $(INSTALLED) ## The same with the real exchanges' data
	@.venv/bin/marketflow run --data live $(ARGS)

test: $(INSTALLED) ## Run all tests, against real services
	@.venv/bin/pytest -n 3 --dist loadfile $(ARGS)

test-k8s: $(INSTALLED) ## Run the tests on the cluster that KUBECONFIG names
	@{ test -n "$$KUBECONFIG" && kubectl get nodes > /dev/null 2>&1; } \
	    || { echo "not run: no cluster answers; set KUBECONFIG (k8s/README.md, tests)"; exit 0; } \
	    && .venv/bin/python -m pytest tests/k8s/cluster.py

fuzz: $(INSTALLED) ## Send 100,000 broken frames of each exchange; let ccxt and cryptofeed decode
	@FUZZ_FRAMES=100000 .venv/bin/python -m pytest tests/dataflows/test_fuzz.py
	@.venv/bin/python -m pytest tests/connectors/simulator/independent.py

soak: $(INSTALLED) ## Two hours with random faults: the dataflows, then the collector
	@.venv/bin/python -m tests.dataflows.soak $(ARGS)
	@.venv/bin/python -m tests.dataflows.soak_collect

seed: $(INSTALLED) ## Fill the database of POSTGRES_DSN with minutes (ARGS="--rows 50000000")
	@.venv/bin/marketflow seed $(ARGS)

bench: $(INSTALLED) ## Run the benchmarks, beside the peers
	@.venv/bin/python -m tests.bench $(ARGS)

screenshots: $(INSTALLED) ## Take the pictures of the dashboard in the README anew
	@.venv/bin/python -m tests.api.static.pictures $(ARGS)

up: $(INSTALLED) ## Start Kafka, PostgreSQL and MinIO in the background
	@.venv/bin/marketflow up $(ARGS)

down: $(INSTALLED) ## Stop them (ARGS=--purge deletes their data, too)
	@.venv/bin/marketflow down $(ARGS)

lint: $(INSTALLED) ## Check style and types
	@.venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy

ifndef LOCKED

# Two `make` at once take turns; whoever comes second finds everything installed. The lock is an
# open file that the inner make inherits, so it ends with it, however that ends.
$(INSTALLED): requirements-dev.lock pyproject.toml
	@mkdir -p $(STATE)
	@$(PYTHON) -c 'import fcntl, os, sys; lock = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR); \
		fcntl.flock(lock, fcntl.LOCK_EX); os.set_inheritable(lock, True); \
		os.execvp(sys.argv[2], sys.argv[2:])' $(STATE)/install.lock $(MAKE) --silent LOCKED=1 $@

else

$(INSTALLED): requirements-dev.lock pyproject.toml $(BOOTSTRAPPED)
	@.venv/bin/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
		2> /dev/null || $(UV) venv --quiet --clear --python '>=3.11,<3.13' .venv
	@echo "Installing the packages of requirements-dev.lock"
	@$(UV) pip sync --quiet --python .venv/bin/python --require-hashes requirements-dev.lock
	@$(UV) pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
	@touch $@

$(BOOTSTRAPPED): $(UV_PINNED)
	@echo "Installing uv $(UV_VERSION), which installs the rest"
	@rm -rf $(STATE)/bootstrap
	@$(PYTHON) -m venv $(STATE)/bootstrap || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu:" \
			"apt install python3-venv; elsewhere: name another Python, make PYTHON=…" >&2; \
		exit 1; }
	@$(STATE)/bootstrap/bin/python -m pip install --quiet --disable-pip-version-check \
		--only-binary :all: --require-hashes --requirement $(UV_PINNED)
	@touch $@

endif
