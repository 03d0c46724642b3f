# Every target installs what it needs into $(VENV) first, once.
#   make test PYTHON=python3.12      another interpreter for the environment
#   make test ARGS="-k stride"       more arguments for the command
#   make demo VENV=../jaxconv-env   another place for the environment

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-models lint notebooks gallery install clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo  ## See the library at work
	$(BIN)/python -m jaxconv demo $(ARGS)

test: $(VENV)/.dev  ## Run the tests, on the CPU, in two processes
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

bench: $(VENV)/.dev  ## Measure against JAX and its libraries
	$(BIN)/python -m benchmarks.run $(ARGS)

bench-models: $(VENV)/.dev  ## Measure whole models, plain and accelerated
	$(BIN)/python -m benchmarks.models $(ARGS)

lint: $(VENV)/.dev  ## Check format, lint and types
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m ruff check
	$(BIN)/python -m pyright --warnings --pythonpath $(BIN)/python

notebooks: $(VENV)/.dev  ## Execute every notebook
	$(BIN)/python notebooks/run.py $(ARGS)

gallery: $(VENV)/.demo  ## Build docs/gallery, and its animations in out/gallery
	$(BIN)/python -m jaxconv gallery --svg docs/gallery --gif out/gallery $(ARGS)

install: $(VENV)/.dev  ## Only make the environment

clean:  ## Remove the environment, build outputs and caches
	rm -rf $(VENV) .venv313 out dist build .pytest_cache .ruff_cache .hypothesis

# Two stamps, so that the demo on a fresh machine does not wait for the tools.
$(VENV)/.demo: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "jaxconv needs Python 3.11 or newer, which $(PYTHON) is not;" \
	    "name another: make PYTHON=python3.12"; exit 1; }
	@echo "Installing jaxconv into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) 'pip>=25.1'  # the first that knows --group
	@$(PIP) --editable '.[viz,cli]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@echo "Installing the tools and the libraries to compare with into $(VENV) ..."
	@$(PIP) --editable '.[viz,cli,bench]' --group dev
	@touch $@
