# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Needs git, make and Python 3.11 or newer. Each target makes its own environment under .venv/ on first use.

PYTHON ?= python3
PYTHON_VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())')

# Ansible finds a collection by its place in a tree, not by its content: a tree with a link to this checkout.
COLLECTIONS := $(CURDIR)/.venv/collections
LINK := .venv/collections/ansible_collections/leaderelection/s3
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
# What tests and tools import: the collection by its full name, and the packages of tests/.
export PYTHONPATH := $(COLLECTIONS):$(CURDIR)/tests

# The stamp of an environment, and the start of a command that runs in it.
ready = .venv/$(1)/ready-$(PYTHON_VERSION)
within = PATH="$(CURDIR)/.venv/$(1)/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-system check bench simulate model stress compatibility clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

quickstart: $(call ready,test) | $(LINK) ## see leader election at work against a local S3 server
	@$(call within,test) python tools/quickstart.py $(ARGS)

test: $(call ready,test) $(call ready,old-boto3) $(call ready,stores) | $(LINK) ## run the tests; ARGS="tests/unit -k renew" chooses
	@$(call within,test) OLD_BOTO3_PYTHON="$(CURDIR)/.venv/old-boto3/bin/python" STORES_PYTHON="$(CURDIR)/.venv/stores/bin/python" python -m pytest --numprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

test-system: $(call ready,test) .venv/wheels/ready | $(LINK) ## run the tests on hosts of their own, as root; ARGS="-k reboot" chooses
	@$(call within,test) WHEELS="$(CURDIR)/.venv/wheels" python tools/lab.py $(ARGS)

check: $(call ready,check) ## run the gates: sanity, linters, types, docs, import; ARGS="ruff format" chooses
	@$(call within,check) python tools/check.py $(ARGS)

bench: $(call ready,bench) | $(LINK) ## measure what the documentation states in figures
	@$(call within,bench) python tools/bench.py $(ARGS)

simulate: $(call ready,test) | $(LINK) ## put the core through schedules of faults; SEED=... replays one, ARGS="--seconds 60"
	@$(call within,test) python tools/simulate.py $(if $(SEED),--seed $(SEED)) $(ARGS)

model: ## search the protocol's model completely; needs spin and gcc; ARGS="--trail RULE_5_ANYBODYS" shows why
	@$(PYTHON) -m model.search $(ARGS)

stress: $(call ready,test) | $(LINK) ## let many processes fight over leases; ARGS="--minutes 5 --processes 16"
	@$(call within,test) python tools/stress.py $(ARGS)

compatibility: $(call ready,stores) | $(LINK) ## try every store that there is a package of; writes docs/compatibility.md
	@$(call within,stores) python tools/compatibility.py

clean: ## remove every environment and cache
	rm -rf .venv .cache

.venv/%/ready-$(PYTHON_VERSION): requirements/%.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	@echo "Making .venv/$* with Python $(PYTHON_VERSION) from $<; the next run starts at once."
	@$(PYTHON) -m venv --clear .venv/$*
	@.venv/$*/bin/python -m pip install --quiet --quiet --disable-pip-version-check --requirement $<
	@touch $@

# What a host without the internet installs into a venv.
.venv/wheels/ready: requirements/test.txt | $(call ready,test)
	@$(call within,test) python -m pip download --quiet --quiet --disable-pip-version-check --only-binary=:all: --dest $(@D) "$$(grep ^boto3 $<)"
	@touch $@

$(LINK):
	@mkdir -p $(@D)
	@ln -s ../../../.. $@
