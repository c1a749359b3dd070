# Every chore of the project. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ONLY ?=
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help home install app test check format bench screenshots lock clean

help:  ## list the chores
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

home:
	@test -z "$$CHURN_HOME" || test -d "$$CHURN_HOME" || { echo "There is no folder $$CHURN_HOME, which CHURN_HOME names; create it first"; exit 1; }

install: $(VENV)/.app  ## install the app and its command into .venv

app: home install  ## open the app on the simulated demo, at http://127.0.0.1:8501
	$(BIN)/churn demo
	$(BIN)/churn --workspace demo app

test: $(VENV)/.test  ## install what the tests need, then run all of them
	.ci/system-packages
	$(BIN)/pytest -n 2 --dist loadgroup

check: $(VENV)/.test  ## lint, format, types, import floors, the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint Dockerfile

format: $(VENV)/.test  ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test  ## measure against the named peers: make bench [ONLY=prefix]
	$(BIN)/python -m benchmarks $(ONLY)

screenshots: $(VENV)/.test  ## take the README's pictures from the app at http://127.0.0.1:8501
	$(BIN)/python docs/screenshots/make.py

lock: $(VENV)/.uv  ## resolve anew and write the hash-pinned requirements
	$(BIN)/uv lock --upgrade
	$(BIN)/uv export -q --no-header --no-annotate --no-emit-project -o requirements/app.txt
	$(BIN)/uv export -q --no-header --no-annotate --no-emit-project --group test --group lint --extra smote -o requirements/test.txt
	$(BIN)/uv export -q --no-header --no-annotate --no-emit-project --only-group peers -o requirements/peers.txt
	$(BIN)/uv pip compile -q -U --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements/peers-explain.in -o requirements/peers-explain.txt
	$(BIN)/uv pip compile -q -U --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements/peers-watch.in -o requirements/peers-watch.txt
	$(BIN)/uv export -q --no-header --no-annotate --no-emit-project --only-group uv -o requirements/uv.txt

clean:  ## remove the environment and caches
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache

$(VENV)/.uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.app: requirements/app.txt pyproject.toml | $(VENV)/.uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --require-hashes -r requirements/app.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: requirements/test.txt | $(VENV)/.app
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --require-hashes -r requirements/test.txt
	@touch $@
