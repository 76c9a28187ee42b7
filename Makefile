# Bare `make` prints the targets. Every target does the set-up that it needs; a second run is quick.
.DEFAULT_GOAL := help
SHELL := /bin/bash

UV_VERSION := 0.13.9
UV := .uv/bin/uv
PYTHON := $(or $(shell command -v python3.11),$(shell command -v python3))
BIN := .venv/bin
INSTALLED := .venv/.installed
PROTOC := $(BIN)/python -m grpc_tools.protoc -I.
PROTO := streaming/proto/event.proto serving/proto/recommender.proto
SERVICES := serving/proto/recommender.proto

.PHONY: help install demo test lint format generate lock up down clean

help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## set up .venv from requirements.lock

demo: $(INSTALLED) ## from public data to measured recommendations, in minutes
	$(BIN)/nextclick demo

# Two processes, each with a stack of its own; the tests of a file stay together and in their order.
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: $(INSTALLED) ## start the local stack and run every test
	$(BIN)/pytest $(PARALLEL)

.PHONY: cluster-tools images
cluster-tools: $(INSTALLED) ## build Helm and a Kubernetes control plane from Go modules, once
	$(BIN)/python -m tests.cluster.tools

images: $(INSTALLED) ## build the container images (root, buildah, mmdebstrap); TRAINING=1 the one for training as well
	$(BIN)/python -m tests.images.build services $(if $(TRAINING),training)

.PHONY: test-cluster
test-cluster: cluster-tools images ## the chart as rendered, on a real Kubernetes API, and every container that it describes
	NEXTCLICK_REQUIRE_CLUSTER=1 $(if $(TRAINING),NEXTCLICK_TRAINING_IMAGE=1) $(BIN)/pytest tests/chart tests/cluster tests/images

lint: $(INSTALLED) ## ruff, mypy, import-linter, deptry, generated files are fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .
	$(BIN)/deptry tests --exclude .venv --ignore DEP002,DEP004
	$(BIN)/python -m training.export.readme_table --check
	$(BIN)/python helm/readme.py --check
	$(MAKE) --no-print-directory check-proto

format: $(INSTALLED) ## format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: $(INSTALLED) ## write the generated files anew
	$(PROTOC) --python_out=. --pyi_out=. $(PROTO)
	$(PROTOC) --grpc_python_out=. $(SERVICES)
	$(BIN)/python -m training.export.readme_table --write
	$(BIN)/python helm/readme.py --write

.PHONY: check-proto
check-proto: $(INSTALLED)
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(PROTOC) --python_out="$$fresh" --pyi_out="$$fresh" $(PROTO) && \
	$(PROTOC) --grpc_python_out="$$fresh" $(SERVICES) && \
	for file in $$(cd "$$fresh" && find . -type f); do \
	  cmp "$$fresh/$$file" "$$file" || { echo "run 'make generate' and commit"; exit 1; }; \
	done && echo "generated files are fresh"

COMPILE := $(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
REMOTE := --extra s3 --extra gcs --extra postgres

lock: $(UV) ## add to requirements.lock, and to those of the images, what pyproject.toml asks for; UPGRADE=1 the newest of all
	$(COMPILE) --extra all --group dev $(if $(UPGRADE),--upgrade) --output-file requirements.lock
# Feast asks for SQLAlchemy's mypy plug-in, which nothing runs.
	$(COMPILE) --constraints requirements.lock $(REMOTE) --no-emit-package mypy --output-file requirements-services.lock
	$(COMPILE) --constraints requirements.lock $(REMOTE) --extra training --no-emit-package mypy \
	  --output-file requirements-training.lock

up: $(INSTALLED) ## start Kafka, Redis and Triton on this machine
	$(BIN)/nextclick up

down: $(INSTALLED) ## stop what `make up` or `make demo` started
	$(BIN)/nextclick down

clean: ## stop the stack; remove the environment and all local data
	-test ! -x $(BIN)/nextclick || $(BIN)/nextclick down
	rm -rf .venv .uv .nextclick .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(UV):
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Nextclick needs Python 3.11: install it and see that python3.11 is on PATH"; exit 1; }
	@echo "setting up uv $(UV_VERSION)"
	@"$(PYTHON)" -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(INSTALLED): requirements.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python 3.11 .venv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(INSTALLED)
