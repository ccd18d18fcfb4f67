# make demo   train on a synthetic world and look at what it learns
# make test   run the tests
# Both make .venv first if it is not there, from the exact versions in constraints.txt.

VENV := .venv
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin

.PHONY: demo test lint types clean

demo: $(STAMP)
	$(BIN)/xscale demo

# One process a core, up to four: each imports TorchGeo, which takes 1.5 GB.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@sh .ci/install $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
