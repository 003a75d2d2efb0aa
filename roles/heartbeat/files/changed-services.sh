#!/bin/sh
# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# changed-services.sh look|start FOLDER LEASE...: prints the leases that this host holds and whose units are not those
# with which it began to lead. With start, it also starts the units that are new. FOLDER is the folder of the marks.
#
# It does not go by what this run of the role has changed, because an earlier run may have been interrupted. Nor does it
# go by what is not running: a job may be done, or somebody may have stopped a service.

missing() { # prints the words of the first list that are not in the second one
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
    # If the fence has removed the file, nothing may start any more.
    [ ! -e "$file" ] || printf '%s\n' "$wanted" >"$file"
done
