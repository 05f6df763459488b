# `make` alone prints this file's commands: the text after ## is the help.
PYTHON ?= python3
BIN := .venv/bin
DATA ?=
FORMAT ?=
SPEED ?=
ROUNDS ?= 20
SEED ?= 1
FAULT ?=
WORKERS ?= 3
SECONDS ?= 60
TARGET ?=
NAME ?= all
BUDGET ?= 10m
SOURCE = $(if $(DATA),--data '$(DATA)') $(if $(FORMAT),--format $(FORMAT))

.DEFAULT_GOAL := help
.PHONY: help setup demo replay experiments test torture fuzz check format bench clean

help: ## this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.demo ## the virtual environment .venv with the command .venv/bin/freshet

demo: .venv/.demo ## a click's whole way, with a page of results: DATA=<file or folder> FORMAT=globo|mind|ebnerd|csv|jsonl|parquet|synthetic SPEED=<times real time>
	@$(BIN)/freshet demo $(SOURCE) $(if $(SPEED),--speed $(SPEED)) $(ARGS)

replay: .venv/.demo ## backfill one day into a run folder of its own: DAY=2017-10-05 DATA=... FORMAT=..., ARGS=--from-kafka for a topic
	@$(BIN)/freshet streams replay $(if $(DAY),--day $(DAY)) $(SOURCE) $(ARGS)

experiments: .venv/.dev ## every claim about training and publishing, quickly, in about 10 minutes: NAME=<one alone> BUDGET=10m DATA=... FORMAT=...
	@$(BIN)/freshet experiment $(NAME) --quick --budget $(BUDGET) $(SOURCE) $(ARGS)

test: .venv/.dev ## all tests, the integration tests against real servers among them
	@$(BIN)/python -m pytest $(ARGS)

torture: .venv/.dev ## workers on a real Kafka under seeded faults, and nothing lost: ROUNDS=20 SEED=1 FAULT=<one alone> WORKERS=3
	@$(BIN)/python -m tests.torture --rounds $(ROUNDS) --seed $(SEED) --fault '$(FAULT)' --workers $(WORKERS) $(ARGS)

fuzz: .venv/.fuzz ## foreign bytes for the readers, guided by coverage: SECONDS=60 for each TARGET=samples|tfrecord|events|manifest (all)
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(TARGET),--target $(TARGET)) $(ARGS)

check: .venv/.dev ## lint, format check, mypy --strict and the tests that need no server; changes nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -n 2 -m 'not server' tests/unit tests/property tests/golden $(ARGS)

format: .venv/.dev ## put the code into the house format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: .venv/.bench ## every benchmark: benchmarks/results/*.json and the table in the README; DATA=<a day of Globo clicks>
	@$(if $(DATA),FRESHET_BENCH_DATA='$(DATA)') $(BIN)/python -m benchmarks $(ARGS)

clean: ## remove run folders and caches of this checkout (not .venv)
	rm -rf var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "freshet: Python 3.11 or newer is needed; $$($(PYTHON) --version) is $(PYTHON). Name another: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv .venv || { echo "freshet: python3 cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 2; }

.venv/.demo: pyproject.toml | .venv/bin/python
	@echo "Installing into .venv; the first time torch alone can be gigabytes (README: a smaller build)."
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	@echo "Installing into .venv; the first time torch alone can be gigabytes (README: a smaller build)."
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/.demo

.venv/.bench: pyproject.toml | .venv/.dev
	@echo "Installing the peers of the benchmarks into .venv."
	@if $(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'; then touch $@ .venv/.dev .venv/.demo; else echo "freshet: pip has said why the peers cannot be installed here; the figures beside them will fail" >&2; fi

.venv/.fuzz: pyproject.toml | .venv/.dev
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@touch $@ .venv/.dev .venv/.demo
