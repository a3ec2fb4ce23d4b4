# make demo    set everything up, train a force field, optimise a geometry, run MD, draw the plots (into demo/)
# make test    set everything up, check style, layers and types, run every test
# make docs    set everything up, run the tour, build the documentation site (into build/docs)
# The other targets: install, lint, types, coverage, bench, bench-peers, table, test-peers, test-adapters, test-lowest, clean.

PYTHON ?= python3
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
# Where BLAS and torch find two cores and two test processes, one thread each is the fastest.
ONE_THREAD := OMP_NUM_THREADS=1

.PHONY: install demo test docs lint types coverage bench bench-peers table test-peers test-adapters test-lowest clean

install: $(STAMP)

# torch first and pinned, so that nothing else pulls in another one.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mlff needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
	         "name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -c constraints.txt torch
	$(RUN) -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

demo: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh demo

test: install lint types
	$(ONE_THREAD) $(RUN) -m pytest -n $(JOBS) --durations=10

# Which lines the tests run. Recording that makes tests that are mostly Python take twice the time.
coverage: install
	$(ONE_THREAD) $(RUN) -m pytest -n $(JOBS) --cov --cov-report=term --cov-report=html

# The tour's pages are executed at every build; a failed assert, an error or a warning ends it.
docs: $(DOCS_STAMP)
	rm -rf build/docs build/doctrees
	$(ONE_THREAD) $(RUN) -m sphinx -q -W --keep-going -n -j $(JOBS) -d build/doctrees docs build/docs
	@echo "The pages are in build/docs; open build/docs/index.html"

$(DOCS_STAMP): $(STAMP)
	$(RUN) -m pip install --quiet -c constraints.txt -e ".[docs]"
	@touch $(DOCS_STAMP)

lint: install
	$(RUN) -m ruff check .
	$(BIN)/lint-imports

types: install
	$(RUN) -m mypy

bench: install
	$(ONE_THREAD) $(RUN) -m mlff benchmark speed --training

# mlff beside its peers, each in an environment of its own; PEERS="schnetpack-painn" for some of them only. Stopped, and called
# again with RESUME=--resume, it goes on. glibc keeps large blocks instead of returning them: uncompiled models are faster so.
KEEP_BLOCKS := MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=4000000000
RESUME ?= --overwrite
bench-peers: install
	bash benchmarks/peers/install.sh $(PEERS)
	$(ONE_THREAD) $(KEEP_BLOCKS) $(RUN) benchmarks/peers/compare.py $(PEERS) --workload azobenzene,water-192,water-1536 \
	  --mode compiled --rounds 5 --json build/peers.json $(RESUME)

# The accuracy table of README.md, from the models in models/ and the data in AZOBENZENE (a folder with azo.zip).
AZOBENZENE ?= ../shared/data/azobenzene_gfn2
table: install
	$(RUN) benchmarks/azobenzene_table.py --data $(AZOBENZENE) --write README.md

# The reference implementations, in an environment of their own, and the tests that compare ours with them.
test-peers: install
	bash tests/peers/install.sh .venv-peers
	$(ONE_THREAD) .venv-peers/bin/python -m pytest tests/peers -ra

# The adapters to other packages' models (docs/adapters.md), each where its package is: MACE and NequIP want different e3nn.
test-adapters: install
	bash benchmarks/peers/install.sh nequip mace
	bash tests/peers/install.sh .venv-peers
	for each in nequip mace peers; do \
	  $(ONE_THREAD) .venv-$$each/bin/python -m pytest tests/models tests/peers tests/potential/external \
	    -k "mace or nequip or allegro or dimenet" -ra || exit 1; done

# The tests with the oldest versions that pyproject.toml allows, in an environment of their own.
test-lowest:
	mkdir -p build
	sed -n '/^dependencies/,/^]/s/.*"\([^>]*\)>=\([^,"]*\).*/\1==\2.*/p' pyproject.toml > build/lowest.txt
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet -c build/lowest.txt -e ".[dev]"
	$(ONE_THREAD) .venv-lowest/bin/python -m pytest -n $(JOBS)

clean:
	rm -rf build dist htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache demo
