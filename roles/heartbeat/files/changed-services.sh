#!/bin/sh
# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# changed-services.sh look|start FOLDER LEASE...: prints which of the leases, of those by which this host leads, have other units than
# when it began to; with start, it starts the units that are new. The folder is that of the marks.
#
# It does not go by what the role has changed: an earlier run may have been interrupted. Nor by what does not run: a job
# may be done, or somebody may have stopped a service.

missing() { # those of the first list that are not in the second one
    for unit in $1; do
        case " $2 " in
        *" $unit "*) ;;
        *) printf '%s\n' "$unit" ;;
        esac
    done
}

action=$1 folder=$2
shift 2
for lease; do
    file=$folder/$lease/started
    [ -e "$file" ] || continue
    started=$(cat "$file") || exit
    wanted=$(systemctl show --property=Wants --value "s3-leader-active@$lease.target") || exit
    new=$(missing "$wanted" "$started")
    [ -n "$new$(missing "$started" "$wanted")" ] || continue
    printf '%s\n' "$lease"
    [ "$action" = start ] || continue
    # shellcheck disable=SC2086 # a list
    [ -z "$new" ] || systemctl start --no-block -- $new || exit
    # The fence may have removed it: then nothing may start any more.
    [ ! -e "$file" ] || printf '%s\n' "$wanted" >"$file"
done
