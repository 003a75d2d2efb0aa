# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Needs git, make and Python 3.11 or newer. Each target creates what it needs under .venv/ on first use.

PYTHON ?= python3
PYTHON_VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())')

# Ansible finds a collection by its place in a tree, not by its content. This tree has a link to the checkout there.
COLLECTIONS := $(CURDIR)/.venv/collections
LINK := .venv/collections/ansible_collections/leaderelection/s3
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
# Tests and tools import the collection by its full name, and the packages in tests/.
export PYTHONPATH := $(COLLECTIONS):$(CURDIR)/tests

# The stamp of an environment, and the start of a command that runs in it.
ready = .venv/$(1)/ready-$(PYTHON_VERSION)
within = PATH="$(CURDIR)/.venv/$(1)/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-system check bench simulate mutants model stress matrix docs pictures compatibility clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

quickstart: $(call ready,test) | $(LINK) ## watch leader election at work on a local S3 server
	@$(call within,test) python tools/quickstart.py $(ARGS)

test: $(call ready,test) $(call ready,old-boto3) $(call ready,stores) $(call ready,rulebook) | $(LINK) ## run the tests; ARGS="tests/unit -k renew" selects some
	@$(call within,test) OLD_BOTO3_PYTHON="$(CURDIR)/.venv/old-boto3/bin/python" STORES_PYTHON="$(CURDIR)/.venv/stores/bin/python" RULEBOOK_PYTHON="$(CURDIR)/.venv/rulebook/bin/python" python -m pytest --numprocesses=4 --dist=loadfile --no-loadscope-reorder $(ARGS)

test-system: $(call ready,test) .venv/wheels/ready | $(LINK) ## run the tests that need hosts, in containers, as root; ARGS="-k reboot" selects some
	@$(call within,test) WHEELS="$(CURDIR)/.venv/wheels" python tools/lab.py $(ARGS)

check: $(call ready,check) $(call ready,certification) ## run the gates (sanity, linters, types, docs, import); ARGS="ruff format" selects some
	@$(call within,check) python tools/check.py $(ARGS)

bench: $(call ready,bench) | $(LINK) ## measure the figures that the documentation states
	@$(call within,bench) python tools/bench.py $(ARGS)

simulate: $(call ready,test) | $(LINK) ## run the core through schedules of faults; SEED=7 replays one; ARGS="--seconds 60"
	@$(call within,test) python tools/simulate.py $(if $(SEED),--seed $(SEED)) $(ARGS)

mutants: $(call ready,test) | $(LINK) ## break every decision of the core, and see who notices; ARGS="protocol -k poll_pause"
	@$(call within,test) python tools/mutants.py $(ARGS)

model: ## search every state of the protocol's model (needs spin and gcc); ARGS="--trail RULE_5_ANYBODYS"
	@$(PYTHON) -m model.search $(ARGS)

stress: $(call ready,test) | $(LINK) ## let many processes compete for leases; ARGS="--minutes 5 --processes 16"
	@$(call within,test) python tools/stress.py $(ARGS)

matrix: $(call ready,test) | $(LINK) ## play with every supported ansible-core and Python; ARGS="2.16 2.21" or "--corners"
	@$(call within,test) python tools/matrix.py $(ARGS)

docs: $(call ready,check) ## build the site from the documents and the plugins, in .cache/site/html
	@$(call within,check) python tools/site.py

pictures: $(call ready,test) | $(LINK) ## draw the pictures of the documents anew, from real runs
	@$(call within,test) python tools/pictures.py

compatibility: $(call ready,stores) | $(LINK) ## run the preflight on every store that has a package; writes docs/compatibility.md
	@$(call within,stores) python tools/compatibility.py

clean: ## remove every environment and cache
	rm -rf .venv .cache

.venv/%/ready-$(PYTHON_VERSION): requirements/%.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	@echo "Creating .venv/$* with Python $(PYTHON_VERSION) from $<. Later runs use it again."
	@$(PYTHON) -m venv --clear .venv/$*
	@.venv/$*/bin/python -m pip install --no-compile --quiet --quiet --disable-pip-version-check --requirement $<
	@touch $@

# For tests in which a host without internet access installs boto3 into a venv.
.venv/wheels/ready: requirements/test.txt | $(call ready,test)
	@$(call within,test) python -m pip download --quiet --quiet --disable-pip-version-check --only-binary=:all: --dest $(@D) "$$(grep ^boto3 $<)"
	@touch $@

$(LINK):
	@mkdir -p $(@D)
	@ln -s ../../../.. $@
