# Two commands: `make lab` opens the course, `make test` checks everything. Both make .venv first if it is missing.
# Without make (Windows): python bootstrap.py lab, python bootstrap.py test.
PYTHON ?= python3

.PHONY: lab test install clean help
lab:            ## open the course in JupyterLab
	@$(PYTHON) bootstrap.py lab $(ARGS)
test:           ## lint, types, tests, builds and every notebook
	@$(PYTHON) bootstrap.py test $(ARGS)
install:        ## only make the environment (with the tools for authors)
	@$(PYTHON) bootstrap.py install dev
clean:          ## remove the environment and caches; your work/ stays
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
help:
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/:/'
