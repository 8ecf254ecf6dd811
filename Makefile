# `make` lists what there is to make.

PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
BENCH := .venv-bench
JOBS ?= 4
SPEED ?= 60
SECONDS ?= 120
MINUTES ?= 5
DEPTH ?= 8
FAULTS ?= 2
STEERED ?= 1
FILE ?= demo/data/ubuntu-irc-2008-04-27.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak servers lowest matrix outages limits model mutants

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-demo ## Play a chat log through real workers and report: SPEED=60 SECONDS=120 (0: all) FILE=...
	@$(VENV)/bin/python -m demo --file "$(FILE)" --speed "$(SPEED)" --seconds "$(SECONDS)"

test: $(VENV)/.installed-dev servers ## Run every test on servers of its own: ARGS="-k words" picks some
	@$(VENV)/bin/python -m pytest -m alone $(ARGS) || [ $$? -eq 5 ] # 5: none of them was asked for
	@$(VENV)/bin/python -m pytest -m "not alone" -n $(JOBS) --dist loadfile $(ARGS)

lowest: $(LOWEST)/.installed servers ## Run what depends on versions on the oldest supported ones
	@$(LOWEST)/bin/python -m pytest -n $(JOBS) --dist loadfile tests/matrix $(ARGS)

matrix: $(VENV)/.installed-dev $(LOWEST)/.installed servers ## Run the scenario on every combination of broker, pool, server and versions
	@CELERY_INBOX_MATRIX=full $(VENV)/bin/python -m pytest tests/matrix $(ARGS)
	@CELERY_INBOX_MATRIX=full $(LOWEST)/bin/python -m pytest tests/matrix $(ARGS)
	@CELERY_INBOX_SERVER=redis:7 $(VENV)/bin/python -m pytest tests/store tests/stateful $(ARGS)

outages: $(VENV)/.installed-dev servers ## Run the outages and deploys in full length
	@CELERY_INBOX_LONG=1 $(VENV)/bin/python -m pytest tests/crash $(ARGS)

servers: ## Install the servers that the tests start, if they are missing
	@.ci/servers

limits: $(VENV)/.installed-dev ## Go to the limits: 100,000 messages, 200,000 sessions, bodies of 50 MB; half an hour
	@LIMITS=full $(VENV)/bin/python -m pytest tests/limits tests/integration/test_limits.py --timeout 3600 -s $(ARGS)

check: $(VENV)/.installed-dev ## Look at the code without running it: style, types, imports
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo --no-cache

bench: $(BENCH)/.installed ## Measure beside plain Celery and celery-batches: PARTS="send flood" (waiting, ...) ARGS="--docs"
	@$(BENCH)/bin/python -m benchmarks $(PARTS) $(ARGS)

soak: $(VENV)/.installed-dev ## Random load and random faults on both brokers, judged each minute: MINUTES=60 SEED=...
	@PYTHONPATH=tests $(VENV)/bin/python -m soak --minutes "$(MINUTES)" --seed "$(SEED)"

model: $(VENV)/.installed-dev ## Walk all histories of small inboxes: DEPTH=8 FAULTS=2 STEERED=1 CASE="in line"
	@cd tests && ../$(VENV)/bin/python -m model --depth $(DEPTH) --faults $(FAULTS) --steered $(STEERED) $(if $(CASE),--case "$(CASE)")

mutants: $(VENV)/.installed-dev ## Break a copy of the library on purpose and see who notices: ONLY="words"
	@$(VENV)/bin/python -m mutants --only "$(ONLY)"

$(VENV)/.installed-%: pyproject.toml | $(VENV)/bin/python
	@echo "installing celery-inbox[$*] into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

# Apart from the others, for celery-batches holds Celery back.
$(BENCH)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing celery-inbox[bench] into $(BENCH)"
	@test -x $(BENCH)/bin/python || "$(PYTHON)" -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

# What the tests need, with the releases that lowest.txt names.
$(LOWEST)/.installed: pyproject.toml tests/matrix/lowest.txt | $(VENV)/bin/python
	@echo "installing celery-inbox on its oldest dependencies into $(LOWEST)"
	@test -x $(LOWEST)/bin/python || "$(PYTHON)" -m venv $(LOWEST)
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint tests/matrix/lowest.txt --editable '.[test]'
	@touch $@

$(VENV)/bin/python:
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) was not found: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed, $(PYTHON) is $$("$(PYTHON)" -V 2>&1): make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv: install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
