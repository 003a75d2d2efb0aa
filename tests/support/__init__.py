# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test equipment: a proxy with faults, stores with oddities, a runner for playbooks. Knows no Ansible."""
