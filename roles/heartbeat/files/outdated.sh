#!/bin/sh
# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints the units of daemons that have not read the code and the configuration that are there now: the time of a
# daemon's lock is from before it reads. The arguments are the folder of the daemons, that of the configuration, the
# command, the folder of its code, and leases.

folder=$1 configuration=$2 command=$3 code=$4
shift 4
for name; do
    lock=$folder/$name/lock
    [ -e "$lock" ] || continue
    newer=$(find "$configuration/$name.json" "$command" "$code" -type f ! -name '*.pyc' -cnewer "$lock" -print -quit)
    [ -z "$newer" ] || echo "s3-leader@$name.service"
done
