# make demo | make test | make family FATHER=dad.jpg MOTHER=mum.jpg        (Python 3.11 and make; nothing else)
PYTHON ?= python3.11
OUT ?= runs/family
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup demo family test test-fast test-rerun lint lock clean

setup: $(READY)
	$(BIN)/python scripts/fetch_weights.py

$(READY): requirements.lock.txt pyproject.toml
	@echo "installing torch and the rest into .venv: 7 GB, some minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: setup
	$(BIN)/python scripts/demo_photos.py output_dir=runs/demo_photos
	$(BIN)/python scripts/family.py father=runs/demo_photos/father.jpg mother=runs/demo_photos/mother.png output_dir=runs/demo

family: setup
	@test -n "$(FATHER)" -a -n "$(MOTHER)" || { echo 'usage: make family FATHER=dad.jpg MOTHER=mum.jpg [OUT=folder] [ARGS="siblings=4"]'; exit 2; }
	$(BIN)/python scripts/family.py father="$(FATHER)" mother="$(MOTHER)" output_dir="$(OUT)" $(ARGS)

# two workers of one thread each: bits do not depend on how many cores there are
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not rerun"

test-fast: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not weights and not processes and not slow and not rerun"

# frozen results made again from nothing: minutes more
test-rerun: setup
	$(BIN)/python -m pytest -m rerun

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/cffconvert --validate

lock:
	uv pip compile --quiet --extra demo --extra dev --extra ray --extra s3 --extra onnx --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate pyproject.toml -o requirements.lock.txt

clean:
	rm -rf .venv build *.egg-info
