# make demo    a miniature corpus, a real training run, its word error rate (minutes on a laptop)
# make test    the test suite, then the style check
# make bench   measured comparisons with public peers
# Every target sets up what it needs in .venv from requirements*.txt.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
DEMO := result/downstream/demo
export S3PRL_CORPORA ?= data

.PHONY: help setup demo test lint bench clean
help:
	@sed -n 's/^# \{0,1\}//p' Makefile

setup: $(VENV)/.done
$(VENV)/.done: requirements.txt requirements-mini.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -q -r requirements.txt -r requirements-mini.txt -r requirements-dev.txt
	touch $@

demo: setup
	$(PY) preprocess/make_mini_corpora.py librispeech --output $(S3PRL_CORPORA)/mini
	$(PY) run_downstream.py -a -m train -u fbank -d asr -c downstream/asr/mini.yaml -n demo
	$(PY) run_downstream.py -m evaluate -t dev-clean -e $(DEMO)/dev-best.ckpt
	$(PY) run_downstream.py -m evaluate -t test-clean -e $(DEMO)/dev-best.ckpt
	@echo; $(PY) -m s3prl.utility.show_results $(DEMO)

test: setup
	$(PY) -m pytest
	@$(MAKE) --no-print-directory lint

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

bench: setup
	$(PY) benchmarks/features.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
