# Runwright. `make` alone prints what there is to do.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
ARGS ?=
PYTEST ?= $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: crash-test help setup machines demo serve test check format lab-check bench-execution bench-lab bench-learning-curve clean

help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make the locked environment in .venv
	@scripts/setup python

machines: setup ## The same, and what disposable machines need (Debian, as root)
	@scripts/setup python machines

demo: machines ## Break a real service and watch Runwright learn to fix it (options: ARGS="--yes")
	@$(BIN)/runwright demo $(ARGS)

serve: setup ## Run the server with its data in the default directory
	@$(BIN)/runwright serve $(ARGS)

test: ## Set up everything that is possible here and run the tests
	@scripts/setup python peers machines shells postgres browser
	@$(PYTEST) $(ARGS)

check: setup ## Lint, types, import directions
	@$(BIN)/ruff check src tests
	@$(BIN)/ruff format --check src tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## Put the code into the house format
	@$(BIN)/ruff check --fix src tests
	@$(BIN)/ruff format src tests

lab-check: machines ## Prove every scenario of the library on disposable machines
	@$(BIN)/runwright lab check src/runwright/lab/library --jobs 2

bench-execution: ## What a step costs, against bare sh, ansible and pyinfra
	@scripts/setup python peers machines
	@$(BIN)/python benchmarks/execution.py

crash-test: ## Kill more than 1,000 workers everywhere and look what is lost (about 20 minutes; ARGS="--kills 200")
	@scripts/setup python machines postgres
	@PYTHONPATH=tests $(BIN)/python -m crash.sweep --json build/bench/crash.json $(ARGS)
	@PYTHONPATH=tests $(BIN)/python -m crash.stalled
	@PYTHONPATH=tests unshare -m $(BIN)/python -m crash.outages

clean: ## Remove the environment and what was built
	@rm -rf .venv build dist
