# make demo           set up, make the demo data, train and test CropFormer on it
# make demo-compare   the same for Mask2Former, and two simple predictors beside both
# make demo-tasks     instance, semantic and panoptic segmentation on the demo data
# make test           set up and run the tests
# make lint           check style; make format mends what it can

VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: setup demo demo-compare demo-tasks test lint format

setup: $(VENV)/.ready

$(VENV)/.ready: $(wildcard requirements/*) setup.py
	bash requirements/install.sh $(VENV)

demo: setup
	$(BIN)/python tools/demo.py cropformer

demo-compare: setup
	$(BIN)/python tools/demo.py cropformer mask2former whole-image colour-clusters

demo-tasks: setup
	$(BIN)/python tools/demo.py $(foreach task,instance semantic panoptic,$(task) majority-$(task))

test: setup
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
