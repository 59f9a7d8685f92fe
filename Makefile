# Two commands: `make quickstart` and `make test`. Both work from a fresh clone; one .venv serves both.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Exact pins were tested on Linux x86-64; elsewhere the ranges of pyproject.toml decide.
CONSTRAINTS := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' '-')),-c constraints.txt,)
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q $(CONSTRAINTS)
# Two test processes share two cores: one OpenMP thread each.
export HF_HUB_OFFLINE ?= 1

.PHONY: quickstart test lint clean

quickstart: $(VENV)/.corpora
	$(BIN)/maskmm quickstart $(ARGS)

test: $(VENV)/.all lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not gpu" $(ARGS)

lint: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or run make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Each stamp is written only after its install has succeeded.
$(VENV)/.corpora: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e ".[corpora]"
	touch $@

$(VENV)/.all: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e ".[corpora,peers,demo,dev]"
	touch $(VENV)/.corpora $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
