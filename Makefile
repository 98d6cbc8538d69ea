# Every target sets up .venv first, once.
PYTHON_VENV := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# one process per core; models in tests are tiny, more threads only wait
PYTEST := OMP_NUM_THREADS=1 $(PYTHON_VENV) -m pytest -n auto --dist loadfile

.PHONY: bench coverage demo docs faults gpu-check lint mutants setup study test test-all

demo: setup
	@echo "demo: pre-train with MixPro, transfer to segmentation and detection, report; about 13 minutes on 2 cores"
	@if $(PYTHON_VENV) -m mixpro_mm.datasets.fashion_mnist; then study=configs/fashion/study_fashion.py; \
	else echo "demo: on the digits of scikit-learn instead"; study=configs/digits/study_demo.py; fi; \
	$(PYTHON_VENV) tools/study.py $$study --work-dir work_dirs/demo

test: setup lint
	@echo "test: about 5 minutes on 2 cores"
	@$(PYTEST)

# with process kills, ranks, fuzzing that trains, and a browser where there is one
test-all: setup lint
	@echo "test-all: about an hour on 2 cores"
	@bash .ci/browser
	@$(PYTEST) -m "long or not long"

# QUICK=1 runs a short version in half an hour, without verdicts; SEEDS=3 trains with three seeds; METHODS="cutmix mixpro" keeps to these
study: setup
	@echo "study: $(if $(QUICK),four methods with two seeds and a third of the steps,seven methods with five seeds) on Fashion-MNIST; about $(if $(QUICK),half an hour,6 hours) on 2 cores"
	@$(PYTHON_VENV) tools/study.py configs/fashion/study_fashion_$(if $(QUICK),quick,evidence).py $(if $(SEEDS),--seeds $(SEEDS)) $(if $(METHODS),--methods $(METHODS))

# CONFIG=my_config.py measures the model of a config
bench: setup
	@echo "bench: speed and memory of training, mixing, labelling and detection ops; up to 12 minutes on 2 cores"
	@$(PYTHON_VENV) tools/benchmark.py $(if $(CONFIG),--backbone $(CONFIG))

# WHEELS=folder: without set-up and network, with the torch of python3; docs/scale.md
gpu-check: $(if $(WHEELS),,setup)
	@$(if $(WHEELS),PATH='$(PATH:$(CURDIR)/.venv/bin:%=%)' bash requirements/gpu_check.sh '$(WHEELS)',$(PYTHON_VENV) tools/gpu_check.py)

faults: setup
	@echo "faults: kills, full disks, broken files and bad input; about 20 minutes on 2 cores"
	@$(PYTEST) tests/faults -m "long or not long"

coverage: setup
	@echo "coverage: all tests once more, counting lines; more than an hour on 2 cores"
	@$(PYTEST) -m "long or not long" --cov=mixpro_mm --cov-report=term-missing:skip-covered --cov-fail-under=95

# how many small faults the tests notice; docs/development/mutants.md
mutants: setup
	@echo "mutants: 400 of some 6,000 changed expressions, each against the tests that reach it; about 40 minutes on 2 cores"
	@$(PYTHON_VENV) -m pip install -q -c requirements/constraints.txt -r requirements/mutants.txt
	@$(PYTHON_VENV) tests/mutants.py

docs: setup
	@$(PYTHON_VENV) -m sphinx -W --keep-going -n -q -b html docs work_dirs/docs
	@echo "docs: work_dirs/docs/index.html"

lint: setup
	@ruff check .
	@ruff format --check .

setup:
	@bash requirements/install.sh
