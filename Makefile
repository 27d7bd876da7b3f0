# make run     the gateway in the foreground, on defaults, after one call to itself
# make demo    every network protocol, and every tunnel, in calls to itself in a network of its own
# make test    every test: the native ones here, those with real clients in the lab kernel
# make lab     the lab tests alone; LAB= names files or pytest options
# make check   ruff, mypy, the import rule, the news fragments and the API reference
# make coverage   what the tests of protocols and sessions cover
# make docs    the API reference, in build/api, and the manual pages, in docs/man
# make floors  the native tests with the lowest and the newest versions of all dependencies
# make fuzz    fuzz everything that strangers reach, for SECONDS=60; root only
# make soak    COUNT=20000 set-ups, and how memory, files and timers grow with them; root only
# make bench   packets, TCP, set-ups, floods, memory and lateness, into bench.json; BENCH= has options,
#              PROTOTYPE= is a program to compare with; root only
# make bench-peers   other PPTP servers beside ours, in the lab kernel; ACCEL= is accel-ppp's program
# make screenshots   the pictures of the console in docs/images; root only
# make clean   remove everything that the others made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAB ?=
SECONDS ?= 60
FLOORS ?= lowest newest
COUNT ?= 20000
BENCH ?=
ACCEL ?=
PROTOTYPE ?=

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable
SOURCES := setup.py pyproject.toml $(shell find pptpgw -name '*.[ch]')

.PHONY: run demo test lab check docs coverage floors fuzz soak bench bench-peers screenshots clean packages

run: $(VENV)/.run
	@exec $(BIN)/python -m pptpgw

demo: $(VENV)/.run
	@exec $(BIN)/python -m pptpgw.demo

test: packages
	@$(MAKE) --no-print-directory $(VENV)/.test
	@tests/run

lab: packages
	@$(MAKE) --no-print-directory $(VENV)/.test
	@tests/lab/run $(LAB)

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py
	$(BIN)/towncrier build --draft >/dev/null
	@$(MAKE) --no-print-directory docs

docs: $(VENV)/.test
	$(BIN)/python -m pydoctor
	$(BIN)/python -m pptpgw.command.manual docs/man

coverage: $(VENV)/.test
	@tests/coverage

floors: $(VENV)/.test
	$(BIN)/python -m tests.floors $(FLOORS)

fuzz:
	@tests/packages.sh fuzz
	@$(MAKE) --no-print-directory $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

soak: $(VENV)/.test
	$(BIN)/python -m tests.fuzz.soak $(COUNT)

bench: $(VENV)/.test
	@PROTOTYPE="$(PROTOTYPE)" $(BIN)/python -m tests.bench --json bench.json --svg bench.svg $(BENCH)

bench-peers: packages
	@$(MAKE) --no-print-directory $(VENV)/.test
	@tests/lab/uml-run -t 1200 env ACCEL="$(ACCEL)" NO_COLOR=1 $(BIN)/python -m tests.bench.peers --json bench-peers.json

screenshots: $(VENV)/.test
	$(BIN)/python -m tests.browser.screenshots docs/images

clean:
	rm -rf $(VENV) .nox build dist state *.egg-info .mypy_cache .ruff_cache .hypothesis _trial_temp .coverage*
	rm -f twisted/plugins/dropin.cache twistd.pid
	find pptpgw -name '*.so' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +

packages:
	@tests/packages.sh

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pptpgw needs Python 3.11 or later; name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) can't make a virtual environment: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV)."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(SOURCES) | $(BIN)/python
	@$(MAKE) --no-print-directory compiler
	@echo "Installing pptpgw into $(VENV)."
	@$(INSTALL) .
	@touch $@

$(VENV)/.test: $(SOURCES) | $(BIN)/python
	@$(MAKE) --no-print-directory compiler
	@echo "Installing pptpgw and what its tests need into $(VENV)."
	@$(INSTALL) '.[test]'
	@touch $(VENV)/.run $@

$(VENV)/.fuzz: $(SOURCES) | $(BIN)/python
	@$(MAKE) --no-print-directory compiler
	@echo "Installing pptpgw into $(VENV), and what its tests and fuzzing need."
	@$(INSTALL) '.[test,fuzz]' || { echo "Has atheris no wheel for this Python or machine? See CONTRIBUTING.md, Fuzzing." >&2; exit 1; }
	@touch $(VENV)/.run $(VENV)/.test $@

# What an earlier build has made must not outlive one that fails.
.PHONY: compiler
compiler:
	@find pptpgw -name '*.so' -delete
	@command -v cc >/dev/null && $(BIN)/python -c 'import sys, sysconfig, pathlib; \
		sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || \
		echo "No C compiler with Python's headers: encryption will run on its slower Python twin." \
			"To have both: apt-get install gcc libc6-dev python3-dev"
