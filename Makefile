# Python 3.11 and make; nothing else. `make help` lists what can be made.
PYTHON ?= python3.11
OUT ?= runs/family
SITE ?= mkdocs# or zensical
BIN := .venv/bin
READY := .venv/.ready
DOCS := .venv-docs

.PHONY: help setup demo app family test test-fast test-rerun lint reference docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## .venv with all that is needed, and the weights
	$(BIN)/python scripts/fetch_weights.py

$(READY): requirements.lock.txt pyproject.toml
	@echo "installing torch and the rest into .venv: 7 GB, some minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: setup ## a family, in runs/demo: two photographs in, their child out
	$(BIN)/python scripts/demo_photos.py output_dir=runs/demo_photos
	$(BIN)/python scripts/family.py father=runs/demo_photos/father.jpg mother=runs/demo_photos/mother.png output_dir=runs/demo
	@echo
	@echo 'Look at:   runs/demo/contact_sheet.png   numbers: runs/demo/family.json'
	@echo 'Try next:  make family FATHER=dad.jpg MOTHER=mum.jpg OUT=out ARGS="siblings=4"'
	@echo '           $(BIN)/python scripts/edit.py photo=me.jpg age=60 output_dir=older'
	@echo '           $(BIN)/python scripts/family.py --help'

family: setup ## yours: FATHER=dad.jpg MOTHER=mum.jpg OUT=folder ARGS="siblings=4"
	@test -n "$(FATHER)" -a -n "$(MOTHER)" || { echo 'usage: make family FATHER=dad.jpg MOTHER=mum.jpg [OUT=folder] [ARGS="siblings=4"]'; exit 2; }
	$(BIN)/python scripts/family.py father="$(FATHER)" mother="$(MOTHER)" output_dir="$(OUT)" $(ARGS)

app: setup ## a page in the browser, on this machine alone
	$(BIN)/gan_inversion app $(ARGS)

# two workers of one thread each: bits do not depend on how many cores there are
test: setup ## all tests, minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not rerun"

test-fast: $(READY) ## those without weights, about a minute
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not weights and not processes and not slow and not rerun"

test-rerun: setup ## frozen results made again from nothing, minutes more
	$(BIN)/python -m pytest -m rerun

lint: $(READY) ## ruff, mypy, CITATION.cff
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/cffconvert --validate

reference: $(READY) ## pages that are written from configs, docstrings and imports
	$(BIN)/python -m tests.manual.reference

docs: $(DOCS)/.ready ## the manual as a site, build/site/index.html; SITE=zensical builds it by that
	rm -rf build/manual build/site && mkdir -p build/manual/weights
	cp *.md build/manual && cp weights/*.md build/manual/weights && cp -R docs notebooks build/manual
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/$(SITE) build --strict
	@echo 'Look at:   build/site/index.html'

# a small one of its own: the site needs nothing of the project
$(DOCS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check $$($(PYTHON) -c \
		'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	touch $(DOCS)/.ready

lock: ## requirements.lock.txt anew, after a change of dependencies; needs uv
	uv pip compile --quiet --extra app --extra demo --extra dev --extra ray --extra s3 --extra onnx --extra c2pa --extra tensorboard --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate pyproject.toml -o requirements.lock.txt

clean: ## what was installed and built; weights and results stay
	rm -rf .venv $(DOCS) build *.egg-info
