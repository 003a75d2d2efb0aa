#!/bin/sh
# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# fences.sh FOLDER ETC LEASE...: puts the configuration that is there now in the place of the one by which this host began
# to lead. The fence ends the services of both; what was taken out of the lease was stopped, and may belong to another one
# by now. The folder is that of the marks.

folder=$1 etc=$2
shift 2
for lease; do
    cd "$folder/$lease" 2>/dev/null || continue
    { cp "$etc/$lease.json" lease.json.new && mv lease.json.new lease.json; } || [ ! -e lock ] || exit 1 # it goes
done
