# Each command prepares what it needs first. The first time takes minutes, and says so; then seconds.

VENV ?= .venv
BIN := $(VENV)/bin
export RASA_TELEMETRY_ENABLED := false

INSTALL = python="$$(sh scripts/python310)" && "$$python" scripts/install.py --venv "$(VENV)"
PYTEST = $(BIN)/python -m pytest
TESTS_FAILED := 1# as pytest says it; the rest says that it could not run them

.PHONY: help demo test check format docs bench clean

help:
	@echo "make demo    a bot, an agent desk and a chat page to try (stop with Ctrl-C)"
	@echo "             BACKEND=<name>: with a stand-in of that agent system (ARGS=--wire: shows every request)"
	@echo "make test    all tests, with PostgreSQL and a browser; ARGS='-k desk' for some"
	@echo "make check   format, lint and types"
	@echo "make format  puts right what make check finds and a program can mend"
	@echo "make docs    docs/channels.md, from the code"
	@echo "make bench   the numbers of the README, into benchmarks/results.json"
	@echo "make clean   removes what these commands made, the demo's chats included; keeps $(VENV)"

demo:
	@$(INSTALL) --extras demo
	@exec $(BIN)/rasa-handoff demo $(if $(BACKEND),--backend $(BACKEND)) $(ARGS)

test:
	@$(INSTALL) --extras test,dev --programs
	@$(PYTEST) --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS); code=$$?; \
	[ $$code -eq $(TESTS_FAILED) ] || exit $$code; \
	echo "Failed while four ran at once. Again, by themselves; what passes only then is still a bug, to be reported:"; \
	$(PYTEST) --last-failed --exitfirst $(ARGS)

check:
	@$(INSTALL) --extras test,dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format:
	@$(INSTALL) --extras test,dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs:
	@$(INSTALL) --extras demo
	$(BIN)/python -W ignore scripts/channels_page.py

bench:
	@$(INSTALL) --extras test,dev
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .rasa models .rasa_handoff tracker.db*
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
