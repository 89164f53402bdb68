# One command each; every target sets up .venv first. PYTHON may name another interpreter (3.11 or later).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := upstream,downstream,runtime,diffusion,scale,report,evaluate,demo,dev
CONSTRAINTS := constraints-$(shell $(PYTHON) -c 'import sys; print("3.11" if sys.version_info < (3, 12) else "3.12")').txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install run test check bench bench-codec clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml setup.py $(CONSTRAINTS) $(wildcard proxy/bundle/jbig2/*.c proxy/bundle/jbig2/*.h)
	$(PYTHON) -c 'import sys; sys.exit("Sketchwire needs Python 3.11 or later; set PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=$(abspath $(CONSTRAINTS)) $(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'
	-$(BIN)/python -m pip install --quiet --no-deps -c $(CONSTRAINTS) sporco  # more photographs for the demo
	touch $@

run: install  ## The pair, the runtime and a demo site through them.
	$(BIN)/sketchwire demo

test: install  ## All tests; those that need a missing program are skipped with the reason.
	$(BIN)/python -m pytest -n 2 -rs

check: install  ## Formatting, lint, strict types, tests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

bench: bench-codec  ## Every figure in README and docs.

bench-codec: install  ## Our codec against WebP, AVIF and JPEG XL; DATA: a folder of images; WEIGHTS: of metrics.
	SKETCHWIRE_METRIC_WEIGHTS=$(or $(WEIGHTS),$(SKETCHWIRE_METRIC_WEIGHTS),../shared/weights) \
	$(BIN)/python -m evaluation.bench_codec --data $(or $(DATA),../shared/eval/kodak) --out $(or $(OUT),out/codec)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis out demo-out
