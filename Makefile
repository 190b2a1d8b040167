# `make demo` and `make test` need Python 3.11 or later and make, and set up everything else themselves.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUT ?= outputs
TORCH ?= torch==2.13.0

.PHONY: demo gallery test slow parity gpu app-test check clean

demo: $(VENV)/.installed
	$(BIN)/python -m vcjax.demo --out $(OUT)

# The pictures of the README.
gallery: $(VENV)/.installed
	$(BIN)/python -m vcjax.demo --out docs/gallery --format webp

# These tests compile much and run little, so LLVM optimises less, which saves a third of compiling. The slow ones and parity run
# the programs that people run.
test: $(VENV)/.installed-test check
	XLA_FLAGS="$(XLA_FLAGS) --xla_backend_optimization_level=1" $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not parity and not gpu and not browser" --durations=5

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow --durations=15

# The page in headless Chromium; they are skipped where there is none.
app-test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m browser --durations=5

# Compiling for GPUs that are not here: 5 GB of JAX's plugin for CUDA, and no driver.
gpu: $(VENV)/.installed-gpu
	$(BIN)/python -m pytest -n 2 --dist worksteal -m gpu --durations=15

# The PyTorch originals: torch's CPU build where the index has one, and two packages whose files are read singly.
parity: $(VENV)/.installed-parity
	$(BIN)/python -m pytest -n 2 --dist worksteal -m parity

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vcjax needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/.installed-gpu: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test,cuda]'
	touch $@

$(VENV)/.installed-parity: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[test,parity]'
	$(BIN)/python -m pip install --quiet --no-deps modelscope==1.40.2 open_clip_torch==3.3.0
	touch $@

clean:
	rm -rf $(VENV) build outputs .pytest_cache .ruff_cache
