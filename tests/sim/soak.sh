#!/bin/bash
# SPDX-License-Identifier: MIT
# Run many seeds of whole programs under chaos, on all CPUs; ends at the first slice that fails,
# whose output has the command that replays it.
#
#   tests/sim/soak.sh PROGRAM...   SOAK_SEEDS: how many of each (default 10000)
#                                  SOAK_FIRST: from which on (default 1)
set -u

seeds=${SOAK_SEEDS:-10000} first=${SOAK_FIRST:-1} slice=250
last=$((first + seeds - 1))

# Tells what a slice has said only if it failed; 255 ends xargs.
run_slice='output=$("$0" --seeds "$1" 2>&1) && exit 0; printf "%s\n" "$output"; exit 255'

for program; do
	for ((begin = first; begin <= last; begin += slice)); do
		end=$((begin + slice - 1 < last ? begin + slice - 1 : last))
		echo "$begin..$end"
	done | xargs -P "$(nproc)" -I{} bash -c "$run_slice" "$program" {} || {
		echo "soak: failed; see the line \"replay\" above" >&2
		exit 1
	}
	echo "soak: $program: $seeds seeds passed"
done
