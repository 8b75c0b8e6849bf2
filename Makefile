# uwu. `make demo` and `make test` set up everything they need; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv || echo .uv/bin/uv)
WORKERS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)

.PHONY: help setup demo test lint format types unit browser bench soak screenshots reference lock clean

help: ## Lists what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## Makes .venv with the locked dependencies

$(VENV)/.ready: requirements.lock pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "uwu needs Python 3.11 or newer, and found none. Install it, or say where: make PYTHON=/path/to/python3.12"; exit 1; }
	@if ! [ -x "$(UV)" ] && ! command -v uv >/dev/null; then \
		echo "setting up uv $(UV_VERSION) in .uv"; \
		$(PYTHON) -m venv .uv || { echo "python3 has no venv module; on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }; \
		.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); \
	fi
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@echo "installing the locked dependencies into $(VENV)"
	@VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --require-hashes requirements.lock
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	@touch $@

demo: setup ## Runs the whole loop on a simulated organisation and opens the console on port 8420
	@$(BIN)/uwu demo $(DEMO)

test: setup tools/browser tools/npm ## Every check: lint, types, import contracts, all tests on both databases and in a browser
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

.PHONY: tools/browser tools/npm
tools/browser:
	@tools/browser.sh

tools/npm:
	@tools/npm.sh

lint: setup ## Ruff, pyright (strict for the kernel), import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted; run: make format"; exit 1; }
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/pyright

format: setup ## Formats the code
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: setup ## Measures a subject: make bench NAME=spine
	@$(BIN)/python -m bench $(NAME) $(ARGS)

soak: setup ## Kills `uwu serve` in syncs and in writes of states, and the trail's pipeline, lets fifty terraforms contend: not part of the tests
	@UWU_SOAK=30 $(BIN)/python -m pytest -q -s -p no:xdist tests/crash/test_serve_kill.py
	@UWU_SOAK_TRAIL=200 $(BIN)/python -m pytest -q -s -p no:xdist tests/crash/test_trail_kill.py
	@UWU_SOAK_STATES=100 $(BIN)/python -m pytest -q -s -p no:xdist tests/crash/test_state_kill.py
	@UWU_SOAK_TERRAFORMS=50 $(BIN)/python -m pytest -q -s -p no:xdist tests/acceptance/test_terraform_cloud.py -k many

screenshots: setup tools/browser ## Takes the pictures of docs/images from the demo
	@$(BIN)/python tools/screenshots.py

reference: setup ## Writes docs/reference and the client's methods from the code
	@$(BIN)/python -m uwu.app.reference
	@$(BIN)/python tools/client.py

lock: setup ## Resolves the dependencies anew and writes requirements.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		--extra demo --extra otel --group dev --output-file requirements.lock pyproject.toml

clean: ## Removes what make made
	@rm -rf $(VENV) .uv .pytest_cache .ruff_cache .hypothesis
