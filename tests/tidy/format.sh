#!/bin/bash
# SPDX-License-Identifier: MIT
# Check that every C and C++ file of the tree is formatted as .clang-format says; --fix reformats.
# Formatters of different versions disagree, so only version 14 judges.
set -euo pipefail
cd "$(dirname "$0")/../.."

formatter=$(command -v clang-format-14 || command -v clang-format || true)
if [ -z "$formatter" ] || ! "$formatter" --version | grep -q 'version 14\.'; then
	echo "format: not checked, clang-format 14 is not here" >&2
	exit 0
fi
mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.c' '*.h' '*.cc')
if [ "${1-}" = --fix ]; then
	git ls-files -z --cached --others --exclude-standard -- '*.S' |
		xargs -0r tests/tidy/rewrap.py "${files[@]}"
	"$formatter" -i "${files[@]}"
else
	"$formatter" --dry-run -Werror "${files[@]}" || {
		echo "format: tests/tidy/format.sh --fix reformats" >&2
		exit 1
	}
fi
