#!/bin/bash
# SPDX-License-Identifier: MIT
# Run many seeds of the whole program under chaos, on all CPUs; ends at the first that fails, whose
# output has the command that replays it.
#
#   tests/sim/soak.sh PROGRAM      SOAK_SEEDS: how many (default 10000), SOAK_FIRST: from which on
set -u

program=$1
seeds=${SOAK_SEEDS:-10000} first=${SOAK_FIRST:-1} slice=500
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

last=$((first + seeds - 1)) running=0 begun=$first
while [ "$begun" -le "$last" ] || [ "$running" -gt 0 ]; do
	while [ "$begun" -le "$last" ] && [ "$running" -lt "$(nproc)" ]; do
		end=$((begun + slice - 1 < last ? begun + slice - 1 : last))
		"$program" --seeds "$begun..$end" >"$folder/$begun" 2>&1 || {
			touch "$folder/failed"
			cat "$folder/$begun"
			exit 1
		} &
		begun=$((end + 1)) running=$((running + 1))
	done
	if ! wait -n || [ -e "$folder/failed" ]; then
		echo "soak: failed; see the line \"replay\" above" >&2
		wait
		exit 1
	fi
	running=$((running - 1))
	echo "soak: seeds $first to $((begun - 1)) begun, $running running"
done
echo "soak: $seeds seeds passed"
