# `make` lists the commands. PYTHON=/path/to/python3 chooses what a new .venv is made with.

MAKEFLAGS += --no-print-directory
PY := .venv/bin/python
DEV := sh scripts/install.sh requirements-dev.txt

.PHONY: help run sandbox test e2e check fmt bench chaos migrate migration sdl lock graphiql screenshots clean
.DEFAULT_GOAL := help

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

run: ## install what is missing and start the service
	@exec sh scripts/run.sh

sandbox: ## try it without Discord: the service, and a page that shows what it sends
	@exec sh scripts/sandbox.sh $(args)

test: ## run all tests, with coverage
	@$(DEV)
	@$(PY) -m pytest -n 6 --dist loadgroup --cov --cov-report=term

e2e: ## run the tests with Node's clients, a browser, Redis, nginx and the image's steps
	@$(DEV)
	@sh scripts/e2e.sh $(args)

check: ## lint, types, direction of imports, SDL, shell, containers and repository rules
	@$(DEV)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m schema.export --check
	@$(PY) -m scripts.check_repo
	@.venv/bin/shellcheck --external-sources $$(git ls-files '*.sh') .ci/run
	@.venv/bin/hadolint Dockerfile
	@.venv/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose*.yml

fmt: ## format the code and fix what ruff can fix
	@$(DEV)
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

bench: ## measure speed, cost and scale (45 min); args=NAME one scenario, see bench/README.md
	@$(DEV)
	@$(PY) -m bench $(args)

chaos: ## kill, stop and cut off three copies for 150 s, then check that nothing was lost
	@$(DEV)
	@$(PY) -m tests.chaos --seconds 150 $(args)

migrate: ## bring the database to this version
	@sh scripts/install.sh requirements.txt
	@exec $(PY) main.py migrate

migration: ## write a migration from the models: make migration name=add_x
	@test -n "$(name)" || { echo "usage: make migration name=what_changes" >&2; exit 2; }
	@$(DEV)
	@$(PY) -m aerich migrate --offline --no-input --name "$(name)"

sdl: ## write schema/schema.graphql from the code
	@$(DEV)
	@$(PY) -m schema.export

lock: ## resolve the dependencies anew; args=--upgrade takes newer versions
	@$(DEV)
	@sh scripts/lock.sh $(args)

graphiql: ## fetch GraphiQL's files by npm
	@sh web/graphiql/build.sh

screenshots: ## take the pictures in docs anew; args=NAME one: graphiql or sandbox
	@$(DEV)
	@$(PY) -m tests.e2e.screenshots $(args)

clean: ## remove .venv, caches and built files; data stays
	@rm -rf .venv .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache \
		.hypothesis .bench htmlcov tests/e2e/clients/node_modules \
		web/static/graphiql
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
