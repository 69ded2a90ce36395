# Every verb sets up what it misses. `make setup` only prepares the virtual environment.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV   ?= .venv
PYTHON ?= $(firstword $(foreach p,python3 python3.11 python3.12 python3.13,$(if $(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo ok),$(p),)))
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The corpus of `make preprocess`; without one, the built-in toy movies.
CORPUS ?=
OUT    ?= data/shards
DATA   ?= $(OUT)
RUN    ?= runs/first
ARGS   ?=
DEMO_CORPUS := data/demo-corpus

.PHONY: help setup preprocess validate report train demo study test test-gpu lint format bench clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

# One stamp per extra: a pipeline worker installs no torch, a trainer no ray.
$(VENV)/.pipeline $(VENV)/.trainer $(VENV)/.dev: $(VENV)/.%: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "reelshards needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing reelshards[$*] into $(VENV)"
	@$(PIP) -e '.[$*]'
	@touch $@

setup: $(VENV)/.pipeline $(VENV)/.trainer $(VENV)/.dev  ## install everything into .venv
