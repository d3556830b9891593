# Everything a fresh machine needs is python3 (3.11 or newer) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo demo-book test serve check bench bench-peers chaos power clients docs fuzz proof lock image clean format web web-dev web-types web-proof

demo: $(VENV)/.base
	$(BIN)/imagemill demo
	@echo "  The command is $(abspath $(BIN))/imagemill"

# The sample book, from a drawn photo to the print files, in demo-book/; PHOTO is another photo.
PHOTO ?=
demo-book: $(VENV)/.books
	$(BIN)/imagemill books demo $(PHOTO)

serve: $(VENV)/.base
	$(BIN)/imagemill serve

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/file_sizes.py
	$(BIN)/python tools/repeated_names.py
	$(BIN)/python tools/import_circles.py
	$(BIN)/python tools/docstrings.py

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# Imagemill beside what people would otherwise build, in turns on this machine; PEERS names some of them, PAGE is a
# Markdown file whose figures are replaced. The first run installs the peers' packages into the user's cache.
PEERS ?=
ROUNDS ?= 3
PAGE ?=
bench-peers: $(VENV)/.dev
	$(BIN)/python -m benchmarks.peers $(PEERS) --rounds $(ROUNDS) $(if $(PAGE),--page $(PAGE))

# The documentation as a site with a search, built from the same Markdown into site/; it loads nothing from elsewhere.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "to read it: $(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory site"

# A fleet as real processes, killed at random for CHAOS_SECONDS; CHAOS_SEED repeats the order of the faults;
# CHAOS_BROKER is redis or rabbitmq.
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos.storm

# POWER_CUTS power cuts of a server on a disk that loses what was not flushed; POWER_SEED repeats the order. Linux, with a
# C compiler.
power: $(VENV)/.dev
	$(BIN)/python -m tests.power.proof_power

# Requests generated from the OpenAPI document, with an administrator's and a user's key; FUZZ_CASES is their number,
# FUZZ_SEED repeats them, FUZZ_DATABASE is sqlite or postgres.
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz.campaign

# The packages of the clients, in dist/: the Python wheel and the archive of the TypeScript types.
clients: $(VENV)/.dev
	$(BIN)/python tools/build_clients.py

# All 288 cells of the model library on a simulator that fails at random, killed twice, each cell made once; and 20 drawn
# photos on 5 pages, where the right child must have a higher identity score than every other one; and 40 books at once,
# with servers and press processes killed, each page made once.
proof: $(VENV)/.dev
	$(BIN)/python -m tests.library.proof
	$(BIN)/python -m tests.books.proof_identity
	$(BIN)/python -m tests.books.proof_books

# Pins with hashes and no index, so that no file names where packages come from.
lock: $(VENV)/.dev
	$(PIP) uv
	cd requirements && for set in base dev books docs build image client; do ./compile $$set; done

# The web application, built from web/ into the package. Node.js is the machine's, else that of a wheel; IMAGEMILL_URL
# is the server that web-dev passes requests to.
NODE := $(abspath $(BIN))/python $(abspath tools/node.py)
web: web/node_modules/.installed
	cd web && $(NODE) npm run build

web-dev: web/node_modules/.installed
	cd web && $(NODE) npm run dev

web-types: web/node_modules/.installed
	$(NODE) $(abspath $(BIN))/python tools/console_types.py

# The figures of the console in Chromium: loading, events, memory, and 100,000 jobs and pictures. On an idle machine.
web-proof: $(VENV)/.dev
	$(BIN)/python -m tests.console.proof_page
	$(BIN)/python -m tests.console.proof_queue
	$(BIN)/python -m tests.console.proof_gallery

web/node_modules/.installed: web/package.json web/package-lock.json | $(VENV)/.dev
	cd web && $(NODE) npm ci --no-audit --no-fund
	touch $@

# The container image, built by docker, podman or buildah; IMAGE is its name, PYTHON_IMAGE another base.
IMAGE ?= imagemill
image:
	deploy/image/build $(IMAGE)

$(VENV)/.base: requirements/base.txt requirements/build.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/base.txt -r requirements/build.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	$(PIP) --require-hashes -r requirements/dev.txt
	touch $@

$(VENV)/.books: requirements/books.txt $(VENV)/.base
	$(PIP) --require-hashes -r requirements/books.txt
	touch $@

$(VENV)/.docs: requirements/docs.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/docs.txt
	touch $@

clean:
	rm -rf $(VENV) site .pytest_cache .ruff_cache .hypothesis
