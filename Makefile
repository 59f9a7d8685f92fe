# Two commands: `make quickstart` and `make test`. Both work from a fresh clone; one .venv serves both.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Exact pins were tested on Linux x86-64; elsewhere the ranges of pyproject.toml decide.
CONSTRAINTS := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' '-')),-c constraints.txt,)
PIP := $(BIN)/python -m pip install --disable-pip-version-check -qq $(CONSTRAINTS)
PACKAGING := pyproject.toml setup.py constraints.txt
# A hub call without network would retry for half a minute.
export HF_HUB_OFFLINE ?= 1

.PHONY: quickstart test lint gates clean

quickstart: $(VENV)/.corpora
	$(BIN)/maskmm quickstart $(ARGS)

# Test processes share the cores: one OpenMP thread each.
test: $(VENV)/.all lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not gpu" $(ARGS)

# Speed that must not be lost, in CPU time: a busy machine does not fail it.
gates: $(VENV)/.all
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.all --quick --gates

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Debian's Python comes without ensurepip unless python3-venv is installed; its pip can fill the environment then.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python found: install 3.11 or 3.12, or run make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -q pip; } \
	  || { rm -rf $(VENV); exit 1; }

# Each stamp is written only after its install has succeeded.
$(VENV)/.corpora: $(BIN)/python $(PACKAGING)
	$(PIP) -e ".[corpora]"
	touch $@

$(VENV)/.all: $(BIN)/python $(PACKAGING)
	$(PIP) -e ".[corpora,peers,demo,dev]"
	touch $(VENV)/.corpora $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
