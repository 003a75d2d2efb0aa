#!/bin/sh
# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints the units of leases that systemd has not tried to start since this host leads. The first argument is the folder
# of the daemons, each of the others a lease and its units, as one word.
#
# It does not go by what the role has changed: an earlier run may have been interrupted. Nor by what does not run: a job
# may be done, or somebody may have stopped a service.

tried() {
    systemctl show --property=ConditionTimestampMonotonic --value -- "$1"
}

folder=$1
shift
for lease; do
    name=${lease%% *}
    [ -e "$folder/$name/leader" ] || continue
    since=$(tried "s3-leader-active@$name.target")
    for unit in ${lease#"$name"}; do
        if ! systemctl --quiet is-active -- "$unit" && [ "$(tried "$unit")" -lt "$since" ]; then
            printf '%s\n' "$unit"
        fi
    done
done
