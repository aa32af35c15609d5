PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FOR ?=
# processes the tests run in: each has an embedded store of its own
JOBS ?= 2
ORACLES ?= ../shared/oracles

.PHONY: install demo test bench lint format clean

install: $(STAMP)  ## .venv with the watchhouse command

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 install"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: install  ## the main job, end to end, with an incident in it; FOR=90s ends by itself
	$(BIN)/watchhouse demo $(if $(FOR),--for $(FOR))

test: install  ## every test that can run here; the others say what they miss
	$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

lint: install  ## formatting, lint, types and the dependency rule
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install  ## the benchmarks, beside the peers where they are installed; see docs/benchmarks.md
	$(BIN)/python -m tests.bench.bench_remote_write
	$(BIN)/python -m tests.bench.bench_fluent
	$(BIN)/python -m tests.bench.bench_mixed
	$(BIN)/python -m tests.bench.bench_refresh
	$(BIN)/python -m tests.bench.bench_slo_counting
	$(BIN)/python -m tests.bench.bench_slo
	$(BIN)/python -m tests.bench.bench_alerts
	$(BIN)/python -m tests.bench.bench_rules
	@if [ -f $(ORACLES)/peers/compare.py ]; then set -e; \
	  $(BIN)/python -m tests.bench.bench_exposition $(ORACLES)/scrapes/node_exporter.tar.xz $(ORACLES)/scrapes/cadvisor.txt; \
	  for n in 1 10; do $(BIN)/python $(ORACLES)/peers/compare.py write --samples-each $$n; done; \
	  $(BIN)/python $(ORACLES)/peers/compare.py scrape --targets 150; \
	  for peer in prometheus victoriametrics; do $(BIN)/python $(ORACLES)/peers/compare.py query --servers $$peer watchhouse; done; \
	else echo "the peers' comparison is not at $(ORACLES)/peers/compare.py; set ORACLES"; fi

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache tests/.cache
