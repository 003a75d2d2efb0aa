# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: hosts with systemd, a store, their network, faults, and a watcher of what runs where.

tools/lab.py starts the tests in namespaces of their own (mounts, network, processes). So nothing here is seen from
outside, nothing outside is touched, and the kernel ends all of it together with the tests, whatever ends those.
Only control groups are the machine's: one for the run, with one for each host in it.
"""
