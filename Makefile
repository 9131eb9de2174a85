# On a fresh machine with Python 3.11 and make: `make demo` or `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: demo test setup docs format check clean

demo: $(STAMP)  ## From nothing to music: prepare, train, sample, evaluate
	$(BIN)/ostinato demo --output demo

test: $(DEV_STAMP)  ## The default test suite
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

setup: $(STAMP)  ## The environment alone, with all that running needs

# pip reads requirements.lock first, so that everybody runs the versions that CI runs.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@echo "Installing what Ostinato needs into $(VENV); this takes some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check pip==25.3  # shows a bar while it installs
	$(BIN)/pip install --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)
	@echo "Installed; '. $(BIN)/activate' puts ostinato on your path"

# What tests and checks need beside it.
$(DEV_STAMP): $(STAMP) requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock --requirement requirements-dev.lock
	touch $(DEV_STAMP)

docs: $(DEV_STAMP)  ## The documentation as a site in build/site, links checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(DEV_STAMP)  ## Format, lint and types, as CI does it
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright

clean:
	rm -rf $(VENV) build dist *.egg-info
