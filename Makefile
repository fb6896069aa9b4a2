# `make run` plays the paper's cascade on the mock backend and writes its report; `make test` is the gate. Both install what they need.
# Linear algebra has one thread a process there: with as many processes as cores, more would wait for each other.
# And Python keeps what it compiles, whatever the machine says: tests start many processes that would do it anew.

# Another Python is tried by its name or path (make test PYTHON=python3.13), in an environment of its own.
PYTHON ?= python3
VENV ?= .venv$(if $(filter python3,$(PYTHON)),,-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
VLLM_VENV ?= .venv-vllm
FINETUNE_VENV ?= .venv-finetune
BIN := $(VENV)/bin
ENVIRON := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.PHONY: run run-model test quick coverage docs gallery test-slow test-vllm test-servers test-finetune test-local test-slurm test-view lint types bench clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

run: RUN := runs/paper-$(shell date +%Y%m%d-%H%M%S)
run run-model: export PYTHONDONTWRITEBYTECODE :=
run: $(VENV)/.installed  ## play the paper's design (50 cascades, 16,000 response ratios) on the mock backend, and report it
	$(BIN)/agentnet run experiments/news_cascade.py --backend mock --out $(RUN)-cascades
	$(BIN)/agentnet run experiments/response_ratios.py --backend mock --out $(RUN)-ratios
	$(BIN)/agentnet news cluster $(RUN)-ratios --out $(RUN)-clusters.json
	$(BIN)/agentnet report $(RUN)-cascades $(RUN)-ratios --severity-clusters $(RUN)-clusters.json --n-groups 2

# By probabilities; SmolLM2 says neither yes nor no two times of five, and is let go on.
# Response ratios of the cascades' own ten news items ask nothing anew; the paper's fifty (MODEL_ITEMS=25) take ten minutes more.
MODEL_ITEMS ?= 5
MODEL_OPTIONS := --backend local -S rationale=none -S sampler.mode=logprobs -S sampler.least_mass=0.4
run-model: RUN := runs/model-$(shell date +%Y%m%d-%H%M%S)
run-model: $(VENV)/.installed-local  ## play the same on a real model in this process, SmolLM2 (fetches 98 MB; minutes), and report it
	$(BIN)/agentnet models fetch smollm2
	$(BIN)/agentnet run experiments/news_cascade.py $(MODEL_OPTIONS) --out $(RUN)-cascades
	$(BIN)/agentnet run experiments/response_ratios.py $(MODEL_OPTIONS) -S items_per_severity=$(MODEL_ITEMS) --out $(RUN)-ratios
	$(BIN)/agentnet report $(RUN)-cascades $(RUN)-ratios

# What needs one core for half a minute each goes side by side.
test: $(VENV)/.installed-test  ## all checks: style, types, docs, tests, the wheel's contents
	$(MAKE) --jobs lint types docs
	$(ENVIRON) $(BIN)/pytest --doctest-modules --numprocesses auto --dist worksteal
	rm -rf dist && $(BIN)/python -m build --quiet --outdir dist . && $(BIN)/check-wheel-contents dist

# What starts other processes is found by its import; the others left to the gate take more than 4 s of CPU each.
SLOWER = $(wildcard tests/test_report_*.py tests/test_*_fuzz.py) $(SLOWER_NAMES:%=tests/test_%.py)
SLOWER_NAMES = predict playing news_perspectives analysis_severity analysis_fits cascade_oracles interacting_models studies \
	update_finetune sampler_modes golden analysis_degenerate analysis_clusters missing_again interviews_wrong_input \
	reply_parser bench_figures docs seam_law fault_matrix compare experiment_loading \
	http_outages seams told told_logs check_told free_worlds world_oracles gallery voices analysis_dose \
	analysis_trees convergence declared_backends mock_declared \
	expected_counts probe probe_command guesses analysis_exact analysis_survivors analysis_asks by_context bench_design \
	refused_fields openai_backend perspectives_clusters view_tail view_watch
quick: $(VENV)/.installed-test  ## the tests for between two edits: those that start no other process and take least
	$(ENVIRON) $(BIN)/pytest -q --numprocesses auto --dist worksteal \
		$(filter-out $(SLOWER),$(shell grep -L subprocess tests/test_*.py))

# Apart from the gate: to measure lines makes tests take two to four times as long.
coverage: $(VENV)/.installed-test  ## the tests once more, and which lines of the library they pass (at least 95%)
	$(ENVIRON) $(BIN)/pytest --numprocesses auto --dist worksteal --cov

docs: $(VENV)/.installed-test  ## the documentation, in build/docs; a warning is an error, and no host is asked
	$(BIN)/sphinx-build --quiet --jobs auto --fail-on-warning --keep-going --builder html docs build/docs

gallery: $(VENV)/.installed-test  ## the pictures of the gallery, anew: plays every experiment on the mock (minutes)
	$(BIN)/python docs/make_gallery.py

test-slow: $(VENV)/.installed-test  ## the tests that take long: large samples, known figures to their last digit, a real Ray
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[ray]'
	$(ENVIRON) $(BIN)/pytest -m slow -o faulthandler_timeout=0

test-vllm: $(VENV)/.installed-test  ## backend vllm against real vLLM on this CPU, with a tiny random model (minutes, gigabytes)
	$(BIN)/python tests/vllm/tiny_server.py install $(VLLM_VENV)
	$(VLLM_VENV)/bin/python tests/vllm/tiny_server.py model build/tiny-model
	VLLM_VENV=$(VLLM_VENV) VLLM_MODEL=build/tiny-model $(BIN)/python -m pytest tests/vllm -o faulthandler_timeout=0 --durations=0

test-servers: $(VENV)/.installed-test  ## backend openai against llama.cpp's own server (LLAMA_MODEL: a chat model's GGUF file)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt xllamacpp
	LLAMA_MODEL=$(LLAMA_MODEL) $(BIN)/python -m pytest tests/servers -o faulthandler_timeout=0 --durations=0

# One thread: PyTorch's own wait busily for each other where cores are shared, and a tiny model needs no second.
test-finetune: $(FINETUNE_VENV)/.installed  ## update rule finetune with PyTorch on this CPU, on a tiny random model (minutes, gigabytes)
	cd build && rm -f .coverage* && AGENTNET_TEST_FINETUNE=1 OMP_NUM_THREADS=1 \
		$(abspath $(FINETUNE_VENV))/bin/coverage run --rcfile=/dev/null --branch --include='*/finetune_torch*.py' \
		-m pytest -c ../pyproject.toml --rootdir .. ../tests/finetune -o faulthandler_timeout=0 --durations=5
	cd build && $(abspath $(FINETUNE_VENV))/bin/coverage report --rcfile=/dev/null --show-missing --fail-under=95

test-local: $(FINETUNE_VENV)/.installed  ## backend local on real weights against PyTorch, 64 prompts (minutes; fetches 98 MB)
	OMP_NUM_THREADS=1 $(FINETUNE_VENV)/bin/pytest -m real_weights tests/local -o faulthandler_timeout=0

test-slurm: $(VENV)/.installed-test  ## a run on a real Slurm of one node on this machine: installs Debian's packages, as root (minutes)
	apt-get install --yes -qq slurm-wlm munge
	TEST_ON_SLURM=1 $(BIN)/pytest tests/slurm -o faulthandler_timeout=0 --durations=0

test-view: $(VENV)/.installed-test  ## the live page and those of people in Chromium, as the gate looks at them, and how soon and how late (minutes)
	TEST_VIEW=1 $(BIN)/pytest tests/view -o faulthandler_timeout=0 --durations=0 -s

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

# Peers that want an environment of their own are named as not measured, unless BENCH_OPTIONS gives their Python (see the file).
BENCH_OPTIONS ?=
bench: $(VENV)/.installed-test  ## every figure of docs/performance.md again, and its tables (20 minutes at most; call it again to go on)
	-$(BIN)/python -m pip install --quiet --constraint constraints.txt uvloop httpx 'openai[aiohttp]'
	$(BIN)/python benchmarks/all.py $(BENCH_OPTIONS); code=$$?; $(BIN)/python benchmarks/all.py --write && exit $$code

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "agentnet needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# The distribution was once called agentnet: left installed, its plug-ins would stand twice.
FORGET_OLD_NAME = ! ls -d $(VENV)/lib/*/site-packages/agentnet-*.dist-info >/dev/null 2>&1 || $(BIN)/python -m pip uninstall -qq --yes agentnet

# uv takes half as long, for it unpacks packages side by side. It knows none of pip's settings: where these name an index, where
# uv cannot be had, or finds no way to the index within seconds, pip does it.
# Compiled is what is used, when it is: to compile everything takes as long as to install it.
INSTALL = install --quiet --constraint constraints.txt
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(FORGET_OLD_NAME)
	! $(BIN)/python -m pip config list | grep -q '\.index-url=' \
		&& $(BIN)/python -m pip $(INSTALL) --no-compile uv \
		&& UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=1 $(BIN)/uv pip $(INSTALL) --python $(BIN)/python --editable . \
		|| $(BIN)/python -m pip $(INSTALL) --no-compile --editable .
	touch $@

$(VENV)/.installed-local: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(FORGET_OLD_NAME)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[local]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(FORGET_OLD_NAME)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,docs]'
	touch $@ $(VENV)/.installed

$(FINETUNE_VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m venv $(FINETUNE_VENV)
	$(FINETUNE_VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[test,finetune]'
	mkdir -p build
	touch $@

clean:  ## remove what was installed and built
	rm -rf .venv .venv-* dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
