#!/bin/bash
# SPDX-License-Identifier: MIT
# Add up what test programs said: "NAME: N passed, N failed[, N skipped]", without "NAME: " when
# NAME is empty.
#
#   tests/count.sh NAME LOG...
#
# Understands cmocka's summary, Python's unittest, and a plain line "N passed, N failed". A log that
# tests/run.sh marked as failed counts as one failure at least, even when its program died before it
# could say so. Fails when one failed. Empty logs come from programs that were built and not run.
set -u

name=$1
shift
cat /dev/null "$@" >/dev/null || exit 1
awk -v name="$name" '
	function close_log() {
		if (marked && !failed_here)
			failed_here = 1
		failed += failed_here
		failed_here = marked = 0
	}
	FNR == 1 { close_log() }
	/^\[  PASSED  \] [0-9]+ test/ { passed += $4 }
	/^\[  FAILED  \] [0-9]+ test/ { failed_here += $4 }
	/^\[  SKIPPED \] [0-9]+ test/ { skipped += $4 }
	/^Ran [0-9]+ tests? in / { passed += $2 }
	/^FAILED \(|^OK \(/ {
		for (i = 2; i <= NF; i++)
			if (split($i, part, /[=,)]/) > 1) {
				sub(/^\(/, "", part[1])
				passed -= part[2]
				if (part[1] == "skipped")
					skipped += part[2]
				else
					failed_here += part[2]
			}
	}
	/^[0-9]+ passed, [0-9]+ failed/ {
		passed += $1
		failed_here += $3
	}
	/^run\.sh: .* failed: / { marked = 1 }
	END {
		close_log()
		if (!NR) {
			print (name == "" ? "" : name ": ") "built, not run"
			exit 0
		}
		printf "%s%d passed, %d failed", name == "" ? "" : name ": ", passed, failed
		printf "%s\n", skipped ? ", " skipped " skipped" : ""
		exit failed > 0
	}
' /dev/null "$@"
