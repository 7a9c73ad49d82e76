# Everything a person needs: `make demo` to see it work, `make test` to check it.
.DEFAULT_GOAL := help
SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
# pyproject.toml allows 3.11 to 3.13; requirements.lock was resolved for 3.11.
PYTHON ?= 3.11
BENCH ?= ingest search serve
comma := ,

# uv from PATH where it runs, else the one that the rule for .venv puts there.
UV = $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(BIN)/uv)
# One stamp per set of extras, so that a second run of any verb installs nothing.
DEMO := $(VENV)/installed-cpu$(if $(CLIP),+clip)
FULL := $(VENV)/installed-cpu+clip+dev

.PHONY: help setup demo test check bench serve lock clean
help: ## list the verbs
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: $(FULL) ## install everything into .venv (base, cpu, clip, dev)

demo: $(DEMO) ## build a photo library, search it, serve it (CLIP=1 adds CLIP; DEMO_EXIT=1 ends after the checks)
	@$(BIN)/python -m photoorg.cli.demo

# Tests that start clusters mostly wait for them, so they run beside the others; their report comes
# last. With ARGS there is one run.
CLUSTERS := tests/ray tests/e2e
test: $(FULL) ## run every test (ARGS="-k name" narrows)
ifeq ($(strip $(ARGS)),)
	@log=$$(mktemp); trap 'rm -f '"$$log" EXIT; \
	$(BIN)/python -m pytest -o cache_dir=.pytest_cache/clusters $(CLUSTERS) >"$$log" 2>&1 & beside=$$!; \
	$(BIN)/python -m pytest $(addprefix --ignore=,$(CLUSTERS)); first=$$?; \
	echo "$(CLUSTERS), which ran beside:"; wait $$beside; second=$$?; cat "$$log"; \
	exit $$((first | second))
else
	$(BIN)/python -m pytest $(ARGS)
endif

check: $(FULL) ## lint, formatting, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(FULL) ## run the benchmarks (BENCH="ingest search serve")
	@set -e; for name in $(BENCH); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name --json; done

serve: $(DEMO) ## serve what was ingested (CONFIG=configs/laptop.yaml)
	@$(BIN)/photoorg serve $(if $(CONFIG),--config $(CONFIG))

lock: | $(BIN)/python ## resolve requirements.lock again from pyproject.toml (UPGRADE=1 takes newer versions)
	$(UV) pip compile pyproject.toml --extra cpu --extra clip --extra dev --python-version 3.11 \
	  --generate-hashes --no-emit-index-url $(if $(UPGRADE),--upgrade) -q -o requirements.lock

clean: ## remove .venv and caches; photos and catalogs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info

# Versions come from the lock file as constraints; uv checks every download against its hashes.
# Compiled once here, as dozens of processes start from it, some where they may not write.
$(VENV)/installed-%: pyproject.toml requirements.lock | $(BIN)/python
	$(UV) pip install --python $(VENV) --compile-bytecode -c requirements.lock -e ".[$(subst +,$(comma),$*)]"
	@touch $@

$(BIN)/python:
	@if uv --version >/dev/null 2>&1; then \
	  uv venv --python "$(PYTHON)" $(VENV); \
	else \
	  echo "uv was not found: installing it into $(VENV)"; \
	  exe=$$(command -v python$(PYTHON) || command -v python3); \
	  "$$exe" -m venv $(VENV) && $(VENV)/bin/pip install -q uv || { rm -rf $(VENV); exit 1; }; \
	fi
