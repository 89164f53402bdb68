# One command each; every target sets up .venv first. PYTHON may name another interpreter (3.11 or later).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := upstream,downstream,runtime,diffusion,scale,report,evaluate,demo,dev
CONSTRAINTS := constraints-$(shell $(PYTHON) -c 'import sys; print("3.11" if sys.version_info < (3, 12) else "3.12")').txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install run test check bench bench-codec bench-paper bench-rd bench-choice bench-link soak clean
METRIC_WEIGHTS = $(or $(WEIGHTS),$(SKETCHWIRE_METRIC_WEIGHTS),../shared/weights)

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml setup.py $(CONSTRAINTS) $(wildcard proxy/bundle/jbig2/*.c proxy/bundle/jbig2/*.h)
	$(PYTHON) -c 'import sys; sys.exit("Sketchwire needs Python 3.11 or later; set PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=$(abspath $(CONSTRAINTS)) $(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'
	-$(BIN)/python -m pip install --quiet --no-deps -c $(CONSTRAINTS) sporco  # more photographs for the demo
	touch $@

run: install  ## The pair, the runtime and a demo site through them.
	$(BIN)/sketchwire demo

test: install  ## All tests; what needs a missing program is skipped with the reason, what failed is tried once more, alone.
	$(BIN)/python -m pytest -n 2 -rfEs || $(BIN)/python -m pytest --last-failed --last-failed-no-failures=none -rfEs

check: install  ## Formatting, lint, strict types, tests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

bench: bench-codec bench-paper bench-rd bench-choice bench-link  ## Every figure in README and docs; takes hours.

bench-codec: install  ## Our codec against WebP, AVIF and JPEG XL; DATA: a folder of images; WEIGHTS: of metrics.
	SKETCHWIRE_METRIC_WEIGHTS=$(METRIC_WEIGHTS) \
	$(BIN)/python -m evaluation.bench_codec --data $(or $(DATA),../shared/eval/kodak) --out $(or $(OUT),out/codec)

bench-paper: install  ## The paper's tables and figures.
	$(BIN)/sketchwire evaluate paper --weights $(METRIC_WEIGHTS) --data $(or $(DATA),../shared/eval/web) \
	--limit $(or $(LIMIT),30) --out $(or $(OUT),out/paper)

bench-rd: install  ## Rate-distortion curves, BD-rates, ablations.
	$(BIN)/sketchwire evaluate rd --weights $(METRIC_WEIGHTS) --data $(or $(DATA),../shared/eval/kodak) \
	--limit $(or $(LIMIT),4) --view 384 --out $(or $(OUT),out/rd)

bench-choice: install  ## What auto sends, against its floor, on the held-out half.
	SKETCHWIRE_METRIC_WEIGHTS=$(METRIC_WEIGHTS) $(BIN)/sketchwire evaluate choice report \
	--data $(or $(DATA),../shared/eval) --kept $(or $(OUT),out/choice) --limit $(or $(LIMIT),40)

bench-link: install  ## Text, page loads and pass-through over a thin link; SITES, PICTURES: folders; QUICK=1: minutes.
	$(BIN)/python -m evaluation.linkbench.text --sites $(or $(SITES),../shared/sites)
	mkdir -p out && $(BIN)/python -m evaluation.linkbench --pictures $(or $(PICTURES),../shared/eval/web) \
	$(if $(QUICK),--quick) --json $(or $(OUT),out/link.json)
	$(BIN)/python -m evaluation.linkbench.throughput --rounds $(if $(QUICK),1,9) --json out/throughput.json

soak: install  ## Browses through a pair for 20 minutes; fails on a failed request or growing memory.
	$(BIN)/python -m evaluation.soak

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis out demo-out
