#!/bin/bash
# SPDX-License-Identifier: MIT
# Build a test whose host is a loop of another library's, if that is here; called by the build's
# `foreign` rule. Where it is not, the program is a script that says so as a skipped test.
#
#   tests/foreign/build.sh LIBRARY PACKAGE MODE PROGRAM COMMAND...
#
# LIBRARY is pkg-config's name and PACKAGE Debian's; MODE as for tests/run.sh: what is built for
# another machine is skipped as well. COMMAND... builds PROGRAM but for the library's own flags.
set -eu

library=$1 package=$2 mode=$3 program=$4
shift 4
reason=
if ! pkg-config --exists "$library" 2>/dev/null; then
	reason="pkg-config finds no $library (Debian: $package)"
elif [ "$mode" = emulate ]; then
	reason="$library is there for this machine only"
fi
rm -f "$program"
if [ -n "$reason" ]; then
	printf '#!/bin/sh\necho "skipped: %s"\necho "[  SKIPPED ] 1 test(s)."\n' \
		"$reason" >"$program"
	chmod +x "$program"
	echo "$program:" >"$program.d"
	exit 0
fi
# As system headers: our warnings are not for them.
flags=$(pkg-config --cflags "$library" | sed 's/-I/-isystem /g')
# shellcheck disable=SC2046,SC2086 # both are lists of words
exec "$@" $flags $(pkg-config --libs "$library")
