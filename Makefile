# `make serve` and `make test` are all a reader needs; each sets up what it uses. `make help` lists the rest.
# Tools are called as `.venv/bin/python -m tool`: their scripts do not start from a path with a space in it.

ifeq ($(OS),Windows_NT)
$(error make needs a POSIX system; on Windows use WSL, or the commands in CONTRIBUTING.md, "On Windows")
endif

PORT ?= 8000
ENGINE := mkdocs
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); [ $$n -gt 8 ] && n=8; echo $$n)
RUN := .venv/bin/python

export PYTHON
export NO_MKDOCS_2_WARNING := 1
# Without compiled bytecode every new Python spends some ten seconds on compiling torch.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help serve docs test nightly coverage lint format notebooks gpu bench site engines audit setup lock clean publish

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

serve:  ## set up, run the tutorials, build the site, serve it (PORT=8000)
	@python="$$(sh scripts/find_python.sh)" && "$$python" scripts/serve.py "$(PORT)" $(MAKE) --no-print-directory site

test: setup  ## set up, run the tutorials and every test
	@status=0; \
	OMP_NUM_THREADS=1 $(RUN) -m scripts.run_notebooks --jobs $(JOBS) $(if $(FORCE),--force) || status=1; \
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile || status=1; \
	exit $$status

nightly: notebooks  ## run what is too slow for every change, before a release and by a workflow each night
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile -m nightly

coverage: notebooks  ## run every test, show which lines of advprop/ none reaches, fail under 95 %
	@rm -rf .cache/coverage
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile --cov --cov-report=term-missing:skip-covered

lint: setup  ## check style and types
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) -m mypy

format: setup  ## put the code into shape
	@$(RUN) -m scripts.install_cell && $(RUN) -m scripts.setting_types && $(RUN) -m ruff check --fix-only --quiet . && $(RUN) -m ruff format .

notebooks: setup  ## run the tutorials that changed (FORCE=1: all of them)
	@OMP_NUM_THREADS=1 $(RUN) -m scripts.run_notebooks --jobs $(JOBS) $(if $(FORCE),--force)

gpu: notebooks  ## keep the tutorials' runs on this machine's GPU in notebooks/gpu/
	@$(RUN) -m scripts.gpu_runs

bench: setup  ## measure training steps and the reading of images; keep it in docs/measured/
	@$(RUN) -m scripts.bench

publish: notebooks  ## put the site on the branch gh-pages and push it (REF=main, or a tag such as v0.1.0)
	@$(RUN) -m scripts.publish_site --push "$(or $(REF),main)"

docs: setup  ## show the pages while you write them, with the tutorials' kept runs (PORT=8000)
	@$(RUN) -m mkdocs serve --dirty --quiet --dev-addr "127.0.0.1:$(PORT)"

site: notebooks  ## build the site into site/ (ENGINE=properdocs or zensical: with another generator than MkDocs)
	@$(RUN) -m scripts.build_site "$(ENGINE)" site

engines: notebooks  ## build the site with each generator and compare the results
	@$(RUN) -m scripts.compare_sites

audit: site  ## measure how light and how accessible the site is, for docs/measured/site.json
	@$(RUN) -m scripts.audit

setup:  ## make or renew .venv from requirements.lock
	@python="$$(sh scripts/find_python.sh)" && "$$python" scripts/setup.py

lock: setup  ## renew requirements.lock from pyproject.toml (UPGRADE=1: newest of everything)
	@$(RUN) -m uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
		$(if $(UPGRADE),--upgrade) --no-emit-index-url --no-emit-find-links --quiet \
		--custom-compile-command "make lock" --output-file requirements.lock

clean:  ## remove the site and the notebooks' cached runs; .venv stays
	@rm -rf site .cache
