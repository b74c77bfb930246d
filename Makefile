# Everything a user or a contributor runs. `make` alone prints the list.
# `make install` works on a fresh machine with Python 3.11 or newer; the other targets install first where needed.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PYTHON_LATEST ?= python3.12
# Builds of torch without CUDA, asked only where the usual index has none. (Elsewhere than on Linux there is no "+cpu",
# and the usual build has no CUDA.)
TORCH_CPU ?= https://download.pytorch.org/whl/cpu
TORCH := torch==$(shell sed -n 's/^torch==//p' constraints.txt)
# torch into an environment: $(call install-torch,folder of its programs)
install-torch = echo "installing torch (without CUDA where such a build is to be had)"; \
	$(1)/pip install -q "$(TORCH)+cpu" 2>/dev/null \
	|| $(1)/pip install -q --extra-index-url $(TORCH_CPU) "$(TORCH)+cpu" 2>/dev/null \
	|| $(1)/pip install -q "$(TORCH)" || $(1)/pip install torch
BIN := .venv/bin
LATEST := .venv-latest/bin
LIGHT := .venv-light/bin
DOCS := .venv-docs/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install test test-quick fuzz test-faults test-machines demo check bench bench-rate bench-speed bench-stacks bench-zarr bench-jpeg paper-tables golden docs docs-serve test-light test-latest

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with the package and all it needs to be tested and trained

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "numcodecs_bitswap needs Python 3.11 or newer: make install PYTHON=path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	@$(call install-torch,$(BIN))
	$(BIN)/pip install -q -c constraints.txt -e '.[zarr,train,test]'
	@touch $@

# Each process takes up to 1 GB. In files the tests stay in order; who is done takes over from the others.
PROCESSES ?= $(if $(filter 1 2,$(shell getconf _NPROCESSORS_ONLN)),3,4)
TOGETHER := -n $(PROCESSES) --dist worksteal

test: $(INSTALLED) ## Run the tests (under 20 minutes on two cores), in PROCESSES=3 processes, 4 on more cores
	$(BIN)/python -m pytest $(TOGETHER)

test-quick: $(INSTALLED) ## Run the quick tests (under 3 minutes), all but those marked slow
	$(BIN)/python -m pytest $(TOGETHER) -m 'not slow'

MINUTES ?= 2
fuzz: $(INSTALLED) ## Forged frames, altered model files and arrays of all kinds: make fuzz [MINUTES=2] [ARGS="--log FILE"]
	$(BIN)/python tests/programs/fuzz.py $(MINUTES) $(ARGS)

SECONDS_OF_FAULTS ?= 600
test-faults: $(INSTALLED) ## Files, threads, imports, memory, compilers that fail; interrupts, forks, deaths [SECONDS_OF_FAULTS=600]
	$(BIN)/python tests/programs/faults.py $(SECONDS_OF_FAULTS)
	FENCE=front NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=.venv/checked $(BIN)/python tests/programs/bounds.py

test-machines: $(INSTALLED) ## Golden frames as other CPUs, and under QEMU on aarch64 and s390x (Debian: mmdebstrap qemu-user-static)
	$(BIN)/python tests/programs/cpus.py
	tests/programs/machines.sh

demo: $(INSTALLED) ## Store a photograph in Zarr arrays, compare with other codecs, draw where the bits go
	$(BIN)/python -m examples.demo

check: $(INSTALLED) ## Lint, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(INSTALLED) ## Measure on your images: make bench DATA="folder ..." [VALIDATION="training folder ..."]
	@test -n "$(DATA)$(VALIDATION)" || { echo 'make bench DATA="folder of images ..." [VALIDATION="training folder ..."]'; exit 1; }
	$(BIN)/python -m benchmarks.bench $(DATA) $(if $(VALIDATION),--validation $(VALIDATION))

bench-rate: $(INSTALLED) ## Models' bits/sample against their operations: make bench-rate DATA="folder ..." [ARGS=--gray]
	@test -n "$(DATA)" || { echo 'make bench-rate DATA="folder of images ..." [ARGS=--gray]'; exit 1; }
	$(BIN)/python -m benchmarks.rate $(DATA) $(ARGS)

bench-speed: $(INSTALLED) ## MB/s of every model and where the time goes: make bench-speed [ARGS="--quick --device cuda"]
	$(BIN)/python -m benchmarks.speed $(ARGS)

bench-stacks: $(INSTALLED) ## Volumes, time series, spectral bands: make bench-stacks DATA=folder [ARGS="--models NAME"]
	@test -n "$(DATA)" || { echo 'make bench-stacks DATA=folder, with nd/*.npz and science/*.npz'; exit 1; }
	$(BIN)/python -m benchmarks.stacks $(DATA) $(ARGS)

bench-zarr: $(INSTALLED) ## Whole Zarr arrays written and read; what changed since the last run: make bench-zarr DATA=folder
	@test -n "$(DATA)" || { echo 'make bench-zarr DATA=folder, with natural/, nd/*.npz and science/*.npz'; exit 1; }
	$(BIN)/python -m benchmarks.through_zarr $(DATA) $(ARGS)

bench-jpeg: $(INSTALLED) ## Images that were JPEGs, against their files: make bench-jpeg DATA=folder [ARGS="--limit 4"]
	@test -n "$(DATA)" || { echo 'make bench-jpeg DATA=folder, with nd/jpeg/ and natural/'; exit 1; }
	$(BIN)/python -m benchmarks.jpeg $(DATA) $(ARGS)

paper-tables: $(INSTALLED) ## The tables and figures of the papers, theirs beside ours: make paper-tables DATA=folder
	@test -n "$(DATA)" || { echo 'make paper-tables DATA=folder, with mnist/, cifar10_part/ and natural/'; exit 1; }
	$(BIN)/python -m benchmarks.papers $(DATA)

golden: $(INSTALLED) ## Write golden frames that do not exist yet (existing ones are never changed)
	$(BIN)/python tests/make_golden.py

# mkdocs has an environment of its own: it needs neither torch nor what tests need.
.venv-docs/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "numcodecs_bitswap needs Python 3.11 or newer: make docs PYTHON=path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv-docs
	$(DOCS)/pip install -q -c constraints.txt -e '.[docs]'
	@touch $@

docs: .venv-docs/installed ## Build the site into site/, strictly: a warning or a dead link ends it
	NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build --strict --quiet

docs-serve: .venv-docs/installed ## Show the site at http://127.0.0.1:8000 and build it again at every change
	$(DOCS)/mkdocs serve

# What readers have: no torch, the newest of everything else.
LIGHT_TESTS := tests/test_golden.py tests/test_zarr2.py tests/test_zarr3.py tests/test_cli.py tests/test_convert.py \
	tests/test_embedded.py tests/test_images.py tests/test_packaging.py tests/test_pages.py tests/test_remote.py

test-light: ## Run what needs no torch in an environment without it, with the newest zarr and numcodecs
	@test -n "$(PYTHON)" || { echo "numcodecs_bitswap needs Python 3.11 or newer: make test-light PYTHON=path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv-light
	$(LIGHT)/pip install -q -e '.[zarr,images,light]'
	$(LIGHT)/python -m pytest $(TOGETHER) $(LIGHT_TESTS)

test-latest: ## Run the tests with the newest zarr and numcodecs (Python 3.12 or newer, up to 6 GB)
	@$(PYTHON_LATEST) -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || { echo \
		"make test-latest needs Python 3.12 or newer (the newest zarr does) and up to 6 GB of disk:" \
		"make test-latest PYTHON_LATEST=path/to/python3.12"; exit 1; }
	$(PYTHON_LATEST) -m venv .venv-latest
	@$(call install-torch,$(LATEST))
	$(LATEST)/pip install -q --upgrade zarr numcodecs -e '.[test]'
	$(LATEST)/python -m pytest $(TOGETHER)
