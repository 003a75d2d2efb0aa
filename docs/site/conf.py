# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site, for sphinx: tools/site.py builds it."""

from __future__ import annotations

project = "leaderelection.s3"
project_copyright = "2026, the leaderelection.s3 authors"
html_title = "leaderelection.s3"
html_theme = "furo"
extensions = ["myst_parser", "sphinx.ext.intersphinx", "sphinx_antsibull_ext"]
intersphinx_mapping = {"ansible": ("https://docs.ansible.com/ansible/devel/", "ansible.inv")}
myst_heading_anchors = 4
nitpicky = True
