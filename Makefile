# Thin lines, no logic: what is done is in the notebooks and the library.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
NBCONVERT := $(BIN)/jupyter nbconvert --log-level WARN
FILL := $(BIN)/python -m book.fill
SPHINX := $(BIN)/sphinx-build -q -E -b html -d .venv/doctrees
CHAPTERS := $(shell grep -L default_exp nbs/[0-9]*.ipynb)

help:
	@echo "make run      run the demo sweep, execute the chapters, print their tables, render the book"
	@echo "make test     run the tests, without the slow ones (make test ALL=1 runs these too)"
	@echo "make site     render the notebooks as they are to _site/"
	@echo "make lint     check style, complexity and the types of the light modules"
	@echo "make bench    measure ratios on this machine, to bench/results (some hours)"
	@echo "make prepare  export the library, run all notebooks, write README.md (before a commit)"

# The environment: made once, again when the requirements change.
.venv/ready: settings.ini constraints.txt setup.py
	@echo "Making a virtual environment in .venv: about 7 GB, some minutes, only this once ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]" 2>.venv/pip.log || (cat .venv/pip.log; exit 1)
	@touch $@

run: .venv/ready
	@echo "Running the demo sweep: real training, about two minutes on two cores ..."
	@$(BIN)/bvm sweep run sweeps/demo.yaml --out runs/demo
	@echo "Executing the chapters ..."
	@rm -rf _site && mkdir -p _site
	@cp -r nbs _site/.nbs
	@BVM_RUNS=$(CURDIR)/runs $(FILL) $(CHAPTERS:nbs/%=_site/.nbs/%)
	@$(BIN)/bvm rank final_sweep_published --dataset pets --top 15
	@$(BIN)/bvm rank final_sweep_published --dataset planet --top 15
	@$(BIN)/bvm rank runs/demo
	@echo "Rendering the book ..."
	@$(SPHINX) -c nbs _site/.nbs _site && rm -r _site/.nbs
	@echo "The rendered chapters: $(CURDIR)/_site/index.html"

site: .venv/ready
	@$(SPHINX) nbs _site
	@echo "The rendered book: $(CURDIR)/_site/index.html"

test: .venv/ready
	@$(BIN)/python tests/browser.py
	@$(BIN)/python -m pytest -n auto --dist loadgroup $(if $(ALL),,-m "not slow")

bench: site
	@for name in rankings images overhead precision features explorer pages sweep limit answer; do $(BIN)/python bench/$$name.py || exit 1; done

prepare: .venv/ready
	$(BIN)/nbdev-export
	$(FILL) nbs/*.ipynb
	$(BIN)/nbdev-clean
	$(NBCONVERT) --to markdown --no-input --output-dir . --output README \
	  --NbConvertApp.output_files_dir=nbs/images nbs/index.ipynb
	sed -E -i.bak -e '/<style/,/<\/style>/d' -e 's~\]\((([a-z_0-9]+\.(ipynb|md)(#[a-z-]+)?|images/[a-z_0-9]+\.png))\)~](nbs/\1)~g' README.md && rm README.md.bak

.PHONY: help run site test bench prepare

lint: .venv/ready
	@$(BIN)/ruff check best_vision_models tests bench book setup.py nbs
	@$(BIN)/mypy

.PHONY: lint
