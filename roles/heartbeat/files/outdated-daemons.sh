#!/bin/sh
# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# outdated-daemons.sh RUN ETC COMMAND CODE LEASE...: prints the units of daemons that have not read the configuration, the command
# and the code that are there now, and of a guard that has not. The time of its lock is from before it reads anything. A
# time that is still to come says nothing: the clock was set back.

run=$1 etc=$2 command=$3 code=$4
shift 4

print_if_outdated() { # unit, lock, files that it has read...
    unit=$1 lock=$2
    shift 2
    [ -e "$lock" ] || return 0
    # A reload would cancel a stop that is under way.
    case $(systemctl show --property=Job --value "$unit") in '' | 0) ;; *) return 0 ;; esac
    found=$(find "$@" -type f ! -name '*.pyc' -cnewer "$lock" -print -quit)
    [ -z "$found$(find "$lock" -newermt now)" ] || echo "$unit"
}

for lease; do
    print_if_outdated "s3-leader@$lease.service" "$run/$lease/lock" "$etc/$lease.json" "$command" "$code"
done
print_if_outdated s3-leader-guard.service "$run-guard/lock" "$command" "$code"
