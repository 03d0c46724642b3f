# Every target installs what it needs into $(VENV) first, once.
#   make test PYTHON=python3.12      another interpreter for the environment
#   make test ARGS="-k stride"       more arguments for the command
#   make demo VENV=../jaxconv-env   another place for the environment

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
N ?= 2000
S ?= 0

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

pytest = $(BIN)/python -m pytest -n 2 --dist worksteal -m '$(1)' $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz test-hardware bench bench-models lint notebooks gallery docs package install clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo  ## See the library at work
	$(BIN)/python -m jaxconv demo $(ARGS)

# First without LLVM's optimisation (tests/conftest.py), which is many times quicker to
# compile; then what looks at last digits.  ARGS may leave no test of one of them (then
# pytest's status is 5), but not of both.
test: $(VENV)/.dev  ## Run the tests, on the CPU, in two processes
	@$(call pytest,not optimised); first=$$?; \
	  test $$first = 0 -o $$first = 5 || exit $$first; \
	  export XLA_FLAGS="$$XLA_FLAGS --xla_backend_optimization_level=3"; \
	  $(call pytest,optimised) || { status=$$?; test $$status = 5 -a $$first = 0 || \
	  exit $$status; }

test-hardware: $(VENV)/.hardware  ## Compile for GPUs and TPUs that are not there
	$(BIN)/python -m pytest -m hardware $(ARGS)

fuzz: $(VENV)/.dev  ## Check N random calls against loops, from seed S
	$(BIN)/python -m tests.fuzz $(N) --seed $(S) $(ARGS)

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

docs: $(VENV)/.docs  ## Build the documentation, in out/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

package: $(VENV)/.dev  ## Build the wheel, check it, and run the README from it alone
	@$(PIP) --group release
	rm -rf dist out/alone
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python tests/wheel_alone.py out/alone dist/*.whl

install: $(VENV)/.dev  ## Only make the environment

clean:  ## Remove the environment, build outputs and caches
	rm -rf $(VENV) .venv313 out dist build .pytest_cache .ruff_cache .hypothesis

# Several stamps, so that the demo on a fresh machine does not wait for the tools.
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

# The compilers only: no other library of NVIDIA's is needed, and no device.
$(VENV)/.hardware: $(VENV)/.dev
	@echo "Installing compilers for GPUs and TPUs into $(VENV) ..."
	@version=$$($(BIN)/python -c 'import jax; print(jax.__version__)'); \
	  $(PIP) --no-deps jax-cuda12-plugin==$$version jax-cuda12-pjrt==$$version && \
	  $(PIP) "jax[tpu]==$$version"
	@touch $@

$(VENV)/.docs: $(VENV)/.demo
	@echo "Installing the documentation's tools into $(VENV) ..."
	@$(PIP) --group docs
	@touch $@
