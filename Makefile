# Every target sets up what it needs, in a virtual environment of its own. PYTHON=... chooses the interpreter.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help learn train test coverage test-jax test-long test-audit notebooks notebooks-check check bench gpu-test docs docs-serve docs-check docs-figures clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

learn: $(VENV)/for-learning ## Open my-course/, your copy of the course, in JupyterLab; with HEADLESS=1 execute the course instead
ifneq ($(filter-out 0,$(HEADLESS)),)
	$(BIN)/cbam-np course --solutions
	$(BIN)/python notebooks/build.py run --dry-run
	@echo "The course works here: its solutions are right, and all its notebooks ran to the end."
else
	$(BIN)/python -m cbam_np.course.desk
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) --LabApp.default_url=/lab/tree/my-course/00_start_here.ipynb
endif

test: $(VENV)/for-testing ## Lint, types, notebook sources, then the tests: three minutes on two cores
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python notebooks/build.py check --quick
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

coverage: $(VENV)/for-testing ## The tests with the long ones, and which lines of the package they reach
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --cov -m "not docs and not large and not pairs"

test-jax: $(VENV)/for-jax ## The tests that run the same source on JAX arrays
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m jax

test-long: $(VENV)/for-testing ## The proofs that take long: training, processes that die, the guide, readers' answers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m long

test-audit: $(VENV)/for-testing ## Plant every two deviations in a CBAM, and some fours, and audit it: some minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m pairs

notebooks: $(VENV)/for-learning ## Execute the notebooks and write their outputs
	$(BIN)/python notebooks/build.py run

notebooks-check: $(VENV)/for-learning ## Execute the notebooks and compare with the outputs that are stored
	$(BIN)/python notebooks/build.py check

train: $(VENV)/for-training ## Train a small network with CBAM, and draw where it looks, in cbam-np-results/train
	$(BIN)/cbam-np train

check: $(VENV)/for-learning ## Check every gradient and print the table
	$(BIN)/cbam-np check

bench: $(VENV)/for-learning ## Time the block against PyTorch
	$(BIN)/cbam-np bench

gpu-test: $(VENV)/for-testing ## On a machine with a GPU and CuPy: tests, gradient checks and timings into docs/gpu-results.json
	$(BIN)/cbam-np gpu-test

docs: $(VENV)/for-docs ## Build the site into build/site; a warning is an error
	$(BIN)/python -m sphinx -E -W --keep-going -n -q -c docs . build/site
	@echo "the site is at build/site/index.html"

docs-serve: docs ## Build the site and show it at http://localhost:8000
	$(BIN)/python -m http.server --directory build/site 8000

docs-check: $(VENV)/for-docs-check ## Build the site with planted faults, and read every page in Chromium
	$(BIN)/python -m pytest -m docs tests/test_docs.py tests/test_explore.py

docs-figures: $(VENV)/for-testing ## Measure the figures that the site shows
	OMP_NUM_THREADS=1 $(BIN)/python docs/measure.py speed
	OMP_NUM_THREADS=1 $(BIN)/python docs/measure.py proof
	OMP_NUM_THREADS=1 $(BIN)/python docs/measure.py suite
	$(BIN)/python docs/measure.py training
	OMP_NUM_THREADS=1 $(BIN)/python docs/measure.py inside
	OMP_NUM_THREADS=1 $(BIN)/python docs/measure.py scaling
	OMP_NUM_THREADS=1 $(BIN)/python docs/measure.py weights

clean: ## Remove the virtual environment and all caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* build dist
	find . -name __pycache__ -prune -exec rm -rf {} +

# The files made below only record that a step is done, so that a second call skips it.
$(VENV)/created:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
	    "cbam_np needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12 ..." % v[:2])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/for-learning: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) -e ".[notebooks]"
	@touch $@

$(VENV)/for-training: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) -e ".[train]"
	@touch $@

$(VENV)/for-testing: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) -e ".[test]"
	$(PIP) --no-deps timm # one of its modules is audited; the rest would bring torchvision
	@touch $@ $(VENV)/for-learning

$(VENV)/for-jax: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) -e ".[test,jax]"
	$(PIP) --no-deps timm
	@touch $@ $(VENV)/for-testing $(VENV)/for-learning

$(VENV)/for-docs: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) -e ".[docs]"
	@touch $@

$(VENV)/for-docs-check: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) -e ".[docs-check]"
	$(PIP) --no-deps timm
	@touch $@ $(VENV)/for-docs $(VENV)/for-testing $(VENV)/for-learning
