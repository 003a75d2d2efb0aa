# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""S3 servers: a real one, others that come as packages, and odd ones that behave as no good store does."""
