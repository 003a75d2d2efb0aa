#!/bin/sh
# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# outdated.sh RUN ETC COMMAND CODE LEASE...: prints the units of daemons that have not read the configuration, the command
# and the code that are there now. The time of a daemon's lock is from before it reads anything. A time that is still to
# come says nothing: the clock was set back.

run=$1 etc=$2 command=$3 code=$4
shift 4
for lease; do
    lock=$run/$lease/lock
    [ -e "$lock" ] || continue
    found=$(find "$etc/$lease.json" "$command" "$code" -type f ! -name '*.pyc' -cnewer "$lock" -print -quit)
    [ -z "$found$(find "$lock" -newermt now)" ] || echo "s3-leader@$lease.service"
done
