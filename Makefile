.DEFAULT_GOAL := help
PORT ?= 8000
FUZZ_MINUTES ?= 10
ARGS ?=
PYTHON = .venv/bin/python
# What a production site sets, for the checks that a deployment must pass.
PRODUCTION = SECRET_KEY=$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(60))') \
	ALLOWED_HOSTS=help.example.com DATABASE_URL=sqlite://:memory:
COMPILE = uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --quiet $(if $(UPGRADE),--upgrade)

.PHONY: help demo test lint fuzz coverage mutants bench bench-managing bench-timing words requirements

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

demo: .venv/.site ## Serve a small help center at http://127.0.0.1:8000 (PORT=9000 for another port)
	@$(PYTHON) manage.py demo --port $(PORT)

test: .venv/.dev ## Run all tests on SQLite and PostgreSQL (ARGS="-k audience" goes to pytest)
	@$(PYTHON) -m tests.run $(ARGS)

lint: .venv/.dev ## Check style, types, imports, migrations and deployment settings
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PRODUCTION) $(PYTHON) manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(PYTHON) manage.py check --deploy --fail-level WARNING

fuzz: .venv/.dev ## Look for counterexamples (FUZZ_MINUTES=60 for an hour; the first round is always finished)
	@$(PYTHON) -m tests.run --fuzz $(FUZZ_MINUTES) $(ARGS)

# The tests that go through segments/, without those of random worlds. A line of one engine counts.
# Apart from `make test`: measuring makes the same tests use two thirds more time of the processor.
COVERED = tests/segments tests/test_otherproject.py tests/test_words.py $(addprefix tests/helpcenter/test_,\
	asking_first.py audience_admin.py effects.py history_pages.py inspection.py place_admin.py \
	reach.py row_security.py row_security_checks.py viewing.py)

coverage: .venv/.dev ## Fail unless tests go through every branch of segments/ (10 minutes)
	@rm -f .coverage .coverage.*
	@$(PYTHON) -m coverage run -m tests.run $(COVERED)
	@$(PYTHON) -m coverage combine --quiet
	$(PYTHON) -m coverage report --include 'segments/*' --precision 2 --fail-under 100

mutants: .venv/.dev ## Take every check away once, and change every function of segments/ (hours)
	$(PYTHON) -m tests.call_sites --search $(ARGS)
	$(PYTHON) -m tests.call_sites
	$(PYTHON) -m tests.mutants
	$(PYTHON) -m tests.postgres $(PYTHON) -m tests.mutants --alive
	$(PYTHON) -m tests.mutants --write

bench: .venv/.dev ## Measure what access control costs (ARGS="--articles 1000000" takes 10 minutes)
	@$(PYTHON) -m benchmarks.visible $(ARGS)

bench-managing: .venv/.dev ## Measure the pages that manage segments, with a million people on PostgreSQL (5 minutes)
	@$(PYTHON) -m benchmarks.managing $(ARGS)

bench-timing: .venv/.dev ## Measure whether the time of an answer tells what is hidden (an hour; ARGS="--pairs 500" for 6 minutes)
	@$(PYTHON) -m benchmarks.timing $(ARGS)

words: .venv/.dev ## Bring the translations' catalogues in line with the code
	@$(PYTHON) -m tests.words

requirements: ## Compile requirements*.txt from pyproject.toml (needs uv; UPGRADE=1 for newer versions)
	$(COMPILE) pyproject.toml --group site -o requirements.txt
	$(COMPILE) pyproject.toml --group site --group dev -c requirements.txt -o requirements-dev.txt

# Without --no-deps pip looks at what packages want too, and some of its versions then ask for the
# newest coverage[toml] instead of the pinned coverage. The files name everything there is to install.
.venv/.site: requirements.txt
	@$(venv)
	$(PYTHON) -m pip install --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt requirements.txt
	@$(venv)
	$(PYTHON) -m pip install --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch .venv/.site $@

# Make sure that .venv is there and has pip; one that uv made has none.
define venv
	set -e; \
	if ! $(PYTHON) -c '' 2>/dev/null; then \
		for python in python3 python3.14 python3.13 python3.12 python3.11 none; do \
			! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || break; \
		done; \
		if [ $$python = none ]; then \
			echo "This needs Python 3.11 or newer. Found: $$(python3 --version 2>&1)" >&2; exit 1; \
		fi; \
		if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
			echo "$$python has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
		fi; \
		$$python -m venv --clear .venv; \
	fi; \
	$(PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m ensurepip
endef
