#!/bin/sh
# SPDX-License-Identifier: MIT
# Build a peer of the benchmarks if the library it needs is here; otherwise say so and leave no
# program behind, so that the benchmark skips its rows.
#
#   bench/primitives/build.sh LIBRARY PROGRAM SOURCE...
set -eu

library=$1 program=$2
shift 2
rm -f "$program"
if pkg-config --exists "$library"; then
	flags=$(pkg-config --cflags "$library") libs=$(pkg-config --libs "$library")
elif command -v "$library-config" >/dev/null; then
	flags=$("$library-config" --cflags) libs=$("$library-config" --libs)
else
	echo "$program: not built, pkg-config finds no $library"
	exit 0
fi
mkdir -p "$(dirname "$program")"
# Both lists are words on purpose.
# shellcheck disable=SC2086
"${CC:-cc}" -O2 -g -Wall -Wextra -I. $flags "$@" -o "$program" $libs -pthread
