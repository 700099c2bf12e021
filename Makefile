# make demo           set up, make the demo data, train Mask2Former and CropFormer from it, compare
# make demo-tasks     instance, semantic and panoptic segmentation on the demo data
# make test           set up and run the tests
# make docs           build the documentation into build/docs
# make lint           check style and types; make format fixes what it can
# make lock           take the newest versions into requirements/constraints.txt

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python -c requirements/constraints.txt
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: setup demo demo-tasks test docs lint format lock

setup: $(VENV)/.ready

# uv leaves out the opencv-python that OpenMMLab asks for (see overrides.txt), which pip cannot
$(VENV)/.ready: $(wildcard requirements/*) setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c requirements/constraints.txt uv
	$(INSTALL) --override requirements/overrides.txt opencv-python-headless -e '.[all,dev]'
	$(INSTALL) --no-deps panopticapi-lite trackeval tabulate
	$(BIN)/mmentity doctor
	touch $@

demo: setup
	$(BIN)/python tools/demo.py Mask2Former CropFormer whole-image colour-clusters

demo-tasks: setup
	$(BIN)/python tools/demo.py $(foreach task,instance semantic panoptic,$(task) majority-$(task))

# a process for each core, of one thread: most tests are too small for more
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

# nothing but the installation needs the network
docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going --quiet -c docs/site docs build/docs
	@echo build/docs/index.html

$(VENV)/.docs: $(VENV)/.ready
	$(INSTALL) -e '.[docs]'
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy mmentity

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header --upgrade \
	    --override requirements/overrides.txt --extra all --extra onedl --extra dev --extra docs \
	    setup.py requirements/choices.txt -o requirements/constraints.txt
