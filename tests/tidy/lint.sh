#!/bin/bash
# SPDX-License-Identifier: MIT
# clang-tidy with .clang-tidy's checks over the C files of the library and the programs, on all
# cores; about a second of CPU per file.
set -u
cd "$(dirname "$0")/../.." || exit 1

complaints=$(git ls-files -z --cached --others --exclude-standard -- \
	'framework/*.c' 'backends/*.c' 'protocols/*.c' 'apps/*.c' |
	xargs -0 -P"$(nproc)" -I{} clang-tidy --quiet {} -- \
		-std=gnu11 -D_GNU_SOURCE -I. -Iframework/include 2>/dev/null)
if [ -n "$complaints" ]; then
	printf '%s\n' "$complaints"
	exit 1
fi
