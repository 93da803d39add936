# The project's commands. Everything runs in .venv, made from the lock files in requirements/.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: install demo test conformance chaos fuzz bench bench-quick lock clean

install: .venv/.installed

.venv/.installed: requirements/runtime.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements/runtime.txt
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

.venv/.developed: requirements/dev.txt .venv/.installed
	$(PIP) --require-hashes -r requirements/dev.txt
	touch $@

demo: .venv/.installed
	$(BIN)/bursar demo

test: .venv/.developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist worksteal

# Over 330 operations in four OpenAPI documents: 100,000 drawn requests, and as many systematic ones as each schema has.
# Takes an hour; FUZZ_EXAMPLES=25 a few minutes.
FUZZ_EXAMPLES ?= 300
fuzz: .venv/.developed
	BURSAR_FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest -n 2 tests/http/test_fuzz.py

# The long form of the fault tests: a death at each of 66 points, some 200 kills during ingest, bill runs over 2,000
# accounts, PostgreSQL hung for half a minute; invoice periods in every time zone, corrections in a hundred orders; and what
# races for one grant, wallet, key or proposal, twenty times in a row. An hour.
chaos: .venv/.developed
	BURSAR_EVERY_ZONE=1 BURSAR_ORDERS=100 $(BIN)/pytest -n 0 tests/core/test_invoice_periods.py \
		tests/http/native/test_adjustments.py
	BURSAR_EVERY_POINT=1 BURSAR_KILLS=200 BURSAR_RACE_ACCOUNTS=2000 BURSAR_STANDSTILL=30 $(BIN)/pytest -n 0 \
		tests/invoicing/test_races.py tests/runtime
	BURSAR_AGAIN=20 BURSAR_KILLS=8 $(BIN)/pytest -n 0 -m again

# Writes docs/togai.md: which operations of the Togai API the tests called, and what they were answered.
conformance: .venv/.developed
	BURSAR_WRITE_CONFORMANCE=1 $(BIN)/pytest -n 2 tests/http/togai

# make bench PARTS="reads bill_run" ROUNDS=1 measures some of it; bench-quick takes about a minute.
PARTS ?=
ROUNDS ?=
bench: .venv/.developed
	$(BIN)/python -m benchmarks $(if $(ROUNDS),--rounds $(ROUNDS)) $(PARTS)

bench-quick: .venv/.developed
	$(BIN)/python -m benchmarks --quick

# Needs uv on the machine; writes versions and hashes, never where they come from.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra build pyproject.toml -o requirements/runtime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra build --extra dev --extra parquet pyproject.toml -o requirements/dev.txt

clean:
	rm -rf .venv build dist
