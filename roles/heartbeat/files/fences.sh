#!/bin/sh
# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# fences.sh FOLDER ETC LEASE...: replaces the configuration with which this host began to lead by the present one. The
# fence ends the services of both. What was removed from the lease has been stopped, and may now belong to another
# lease. FOLDER is the folder of the marks.

folder=$1 etc=$2
shift 2
for lease; do
    cd "$folder/$lease" 2>/dev/null || continue
    # Without the lock, the mark is being removed, so a failure does not matter.
    { cp "$etc/$lease.json" lease.json.new && mv lease.json.new lease.json; } || [ ! -e lock ] || exit 1
done
