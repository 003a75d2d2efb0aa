#!/bin/sh
# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# outdated-daemons.sh RUN ETC COMMAND CODE LEASE...: prints the units of the daemons, of the guard, and of
# what brings metrics to node_exporter, that have not read the present configuration, command and code. The time of a lock is from before its process reads anything. A lock
# time in the future proves nothing, because the clock was set back; that unit is printed, too.

run=$1 etc=$2 command=$3 code=$4
shift 4

print_if_outdated() { # UNIT LOCK FILE...: the files are those that the unit's process reads
    unit=$1 lock=$2
    shift 2
    [ -e "$lock" ] || return 0
    # A reload would cancel a stop that is under way.
    case $(systemctl show --property=Job --value "$unit") in '' | 0) ;; *) return 0 ;; esac
    found=$(find "$@" -type f ! -name '*.pyc' -cnewer "$lock" -print -quit)
    [ -z "$found$(find "$lock" -maxdepth 0 -newermt now)" ] || echo "$unit"
}

for lease; do
    print_if_outdated "s3-leader@$lease.service" "$run/$lease/lock" "$etc/$lease.json" "$command" "$code"
done
print_if_outdated s3-leader-guard.service "$run-guard/lock" "$command" "$code"
print_if_outdated s3-leader-textfiles.service "$run-textfiles/lock" "$command" "$code"
