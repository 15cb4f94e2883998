#!/bin/bash
# SPDX-License-Identifier: MIT
# Run one test program, bounded in time; called by the build's `run` rule.
#
#   tests/run.sh run|link|emulate STAMP SECONDS PROGRAM [ARGUMENT]...
#
# The output goes to a log beside STAMP (.log for .ok). A program that passes is announced by its
# counts, and its log becomes STAMP; one that fails shows all it said. `link` only proves that the
# program could be built; `emulate` runs one for aarch64, but not what starts others.
set -u

mode=$1 stamp=$2 seconds=$3
shift 3
log=${stamp%.ok}.log
rm -f "$stamp"
if [ "$mode" = link ] || [[ $mode = emulate && $1 = *.py ]]; then
	exec touch "$stamp"
fi
if [ "$mode" = emulate ]; then
	export ROTA_EMULATED=1
	set -- qemu-aarch64 -L /usr/aarch64-linux-gnu \
		-E LD_LIBRARY_PATH=build/aarch64/root/usr/lib/aarch64-linux-gnu "$@"
fi

# An address sanitizer report ends the program; the others say where they come from.
export ASAN_OPTIONS=strict_string_checks=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export UBSAN_OPTIONS=print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}
export TSAN_OPTIONS=second_deadlock_stack=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}
# The distribution's Python is the one its packages add modules to.
export PATH=/usr/bin:$PATH
# tests/count.sh reads this format, and no other.
export CMOCKA_MESSAGE_OUTPUT=STDOUT

# In a subshell: bash's own word on a program killed by a signal belongs into the log too.
(timeout --kill-after=10 "$seconds" "$@" </dev/null) >"$log" 2>&1
status=$?

case $status in
0) verdict= ;;
124 | 137) verdict="killed: it may take $seconds s" ;;
*) verdict="exit status $status" ;;
esac
if [ -z "$verdict" ] && [ "$("${0%/*}/count.sh" run "$log")" = "run: 0 passed, 0 failed" ]; then
	verdict="it ran no test"
fi
if [ -n "$verdict" ]; then
	cat "$log"
	echo "run.sh: $* failed: $verdict" | tee -a "$log"
	exit 1
fi
grep -aE '^\[  PASSED  \]|^\[  SKIPPED \]|^Ran [0-9]+ tests? in|^[0-9]+ passed, ' "$log"
mv "$log" "$stamp"
