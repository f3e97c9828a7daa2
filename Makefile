SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo serve test test-full lint format bench docs migration lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NAME ?=
# Two processes, each taking whole files in order, so that the quick unit tests even out the end.
TOGETHER ?= -n 2 --dist loadfile --no-loadscope-reorder
, := ,

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# $(1): what to install besides torch, $(2): what to call it. The stamp stands only after all of it succeeded.
# torch goes first and alone: a resolver that meets it among the others may choose a build for graphics cards.
# Nothing is compiled: of so many modules few are ever used, and those are compiled at their first use.
define install
	@rm -f $@
	@echo "Installing $(2) (the first time takes a minute or two)"
	@$(BIN)/python -m pip install -qq --no-compile -c requirements.lock $$(sed -n 's/^ *"\(torch==[^"]*\)",$$/\1/p' pyproject.toml)
	@$(BIN)/python -m pip install -qq --no-compile -c requirements.lock --editable '.[$(1)]'
	@touch $@
endef

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name what; do \
		printf '  make %-10s %s\n' "$$name" "$$what"; done

demo: $(VENV)/.stamp-run ## Ingest a small company and ask it questions as different people; needs no network
	@AMBIT_ENCODER_CACHE="$${AMBIT_ENCODER_CACHE:-$(CURDIR)/$(VENV)/encoders}" $(BIN)/python -m cli.demo

serve: $(VENV)/.stamp-run ## Run the API and the worker in one process
	@$(BIN)/ambit serve

test: lint ## Everything CI runs: lint, then all tests but the long ones
	@$(BIN)/python -m pytest -m "not full" $(TOGETHER)

test-full: lint ## All tests, the long ones too
	@$(BIN)/python -m pytest $(TOGETHER)

lint: $(VENV)/.stamp-dev ## Ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.stamp-dev ## Mend formatting and what else Ruff can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.stamp-bench ## Run the benchmarks, or one: make bench NAME=ingest
	@$(BIN)/python -m bench $(NAME)

docs: $(VENV)/.stamp-dev ## Write the generated parts of docs/ anew
	@$(BIN)/python docs/generate.py

migration: $(VENV)/.stamp-dev ## Write the first migration anew, or a further one: make migration NAME="what it does"
	@$(BIN)/python -m migrations.autogenerate $(if $(NAME),"$(NAME)")

lock: ## Resolve all dependencies anew into requirements.lock
	@deploy/lock.sh $(PYTHON)

clean: ## Remove the virtual environment and caches; data in .ambit stays
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Ambit needs Python 3.11 or newer; $(PYTHON) was not found. \
	Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Ambit needs Python 3.11 or newer; \
	$(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No virtual environment could be made; \
	on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.stamp-run: pyproject.toml requirements.lock | $(BIN)/python
	$(call install,llm$(,)server,Ambit and what it needs)

$(VENV)/.stamp-dev: $(VENV)/.stamp-run
	$(call install,llm$(,)server$(,)sql$(,)objects$(,)eval$(,)dev,the development tools)

$(VENV)/.stamp-bench: $(VENV)/.stamp-run
	$(call install,llm$(,)server$(,)bench,what the benchmarks compare with)
