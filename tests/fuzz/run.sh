#!/bin/bash
# SPDX-License-Identifier: MIT
# Run every fuzzer for FUZZ_SECONDS from its kept corpus. Called by `ninja fuzz`. A find fails it;
# move the crash file to tests/fuzz/regression/NAME and fix the bug.
set -u
seconds=${FUZZ_SECONDS:-1800}
cd build/fuzz || exit 1
status=0

# fuzz NAME OPTION...
fuzz() {
	local name=$1
	shift
	mkdir -p "reach-$name"
	"./fuzz_$name" -max_total_time="$seconds" -print_final_stats=1 "$@" "reach-$name" \
		"../../tests/fuzz/corpus/$name" >"$name.log" 2>&1
	local result=$?
	tail -n 12 "$name.log"
	return $result
}

fuzz resp -dict=../../tests/fuzz/resp.dict &
resp=$!
fuzz line &
line=$!
wait $resp || status=1
wait $line || status=1
exit $status
