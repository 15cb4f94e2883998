#!/bin/sh
# SPDX-License-Identifier: MIT
# Build a peer of the benchmarks if the library it needs is here; otherwise say so and leave no
# program behind, so that the benchmark skips its rows.
#
#   bench/peers/build.sh LIBRARY SOURCE PROGRAM
set -eu

library=$1 source=$2 program=$3
rm -f "$program"
if ! pkg-config --exists "$library"; then
	echo "$program: not built, pkg-config finds no $library"
	exit 0
fi
mkdir -p "$(dirname "$program")"
# Both lists are words on purpose.
# shellcheck disable=SC2046
"${CC:-cc}" -O2 -g -Wall -Wextra $(pkg-config --cflags "$library") "$source" -o "$program" \
	$(pkg-config --libs "$library")
