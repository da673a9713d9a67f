# The commands of a checkout. Only Python 3.11 or newer and make are needed; every target makes the
# .venv it runs in, out of requirements.lock.

SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python -m

# squawk's rules are made for tables in use. Not followed here: counters and numbers of digits are
# bounded by checks and need no bigint; the domains hold texts whose rules do not change; a function
# is dropped where its signature changes, by the migration that makes the new one.
SQUAWK := squawk --assume-in-transaction --pg-version 15.0 --exclude \
    prefer-bigint-over-int,prefer-bigint-over-smallint,ban-create-domain-with-constraint,ban-drop-function

.PHONY: help demo test prove lint bench wheel refresh migration release snapshot lock clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: refresh ## pay a few hundred settlements, kill a worker, reconcile (KEEP=1 leaves it running)
	@$(BIN)/payout-engine demo $(if $(KEEP),--keep)

# The suite and lint go on without a migration of an edited file: the files are the truth.
# Compiled once for all processes and for the next run, whatever else the environment wants.
PYTEST = PYTHONDONTWRITEBYTECODE= $(RUN) pytest --numprocesses 4 --dist worksteal

test: .venv/ready ## run the tests (on DATABASE_URL when it is set; ARGS="-k name")
	@$(RUN) tools.migration --refresh || true
	@$(PYTEST) -m "not proof" $(ARGS)

prove: .venv/ready ## run the mutants, wide explorations, the package, its image and the demo
	@$(RUN) tools.migration --refresh || true
	@$(PYTEST) -m proof $(ARGS)

lint: .venv/ready ## check style and types of the Python, house rules and safety of the SQL
	@$(RUN) tools.migration --refresh || true
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy worker sandbox tools bench
	@$(RUN) tools.house_check
	@$(BIN)/$(SQUAWK) $(filter-out %.rollback.sql,$(wildcard migrations/*.sql))

bench: refresh ## measure beside peers on a durable server (some ten minutes; ARGS="--rounds 1")
	@$(RUN) bench $(ARGS)

wheel: refresh ## build the wheel into dist/
	@$(RUN) hatchling build --target wheel

migration: .venv/ready ## write the migration of this release (to begin one: name=0002-x why="...")
	@$(RUN) tools.migration $(name) $(if $(why),--why "$(why)")

release: .venv/ready ## list the migration in migrations/FROZEN: it never changes again
	@$(RUN) tools.migration --release

snapshot: .venv/ready ## write schema.snapshot.sql
	@$(RUN) tools.snapshot

# Needs the program uv. One lock for all platforms and every Python from 3.11 on; the image takes
# its parts of it.
lock: ## write requirements.lock anew out of pyproject.toml
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	    --extra dev --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	    --output-file requirements.lock pyproject.toml
	@$(MAKE) --no-print-directory .venv/ready
	@$(RUN) tools.image_requirements

clean: ## remove the .venv and all caches
	@rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache

.venv/packages: requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or \
	    sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3 ...")'
	@echo "Making .venv: installing what requirements.lock lists (a minute or so)"
	@$(PYTHON) -m venv --clear .venv
	@$(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/ready: .venv/packages pyproject.toml
	@echo "Installing payout-engine itself into .venv"
	@$(RUN) pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    --editable .
	@touch $@

# Until it is released, a migration follows the files that it is made of.
refresh: .venv/ready
	@$(RUN) tools.migration --refresh
