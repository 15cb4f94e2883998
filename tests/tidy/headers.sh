#!/bin/bash
# SPDX-License-Identifier: MIT
# Compile every header alone: public ones as C11 and as C++17, with gcc and with clang; the others
# as this project's C. Warnings are errors. Not the parts of framework/context.h: one per machine.
# shellcheck disable=SC2016 # the inner shell expands
set -u
cd "$(dirname "$0")/../.." || exit 1

public='^framework/include/.*\.h$|^backends/backends\.h$|^protocols/([a-z0-9]+)/\1\.h$'
mapfile -t headers < <(git ls-files --cached --others --exclude-standard -- '*.h')

# compile COMPILER LANGUAGE HEADER FLAGS…
compile() {
	local compiler=$1 language=$2 header=$3
	shift 3
	echo "#include \"$header\"" |
		"$compiler" -x "$language" "$@" -Wall -Wextra -Wundef -Werror \
			-Iframework/include -I. -fsyntax-only - ||
		echo "headers: $header is not self-contained for $compiler $*" >&2
}

check() {
	local header=$1
	if [[ $header =~ $public ]]; then
		compile gcc c "$header" -std=c11 -Wstrict-prototypes -Wconversion
		compile clang c "$header" -std=c11 -Wstrict-prototypes -Wconversion
		compile g++ c++ "$header" -std=c++17
		compile clang++ c++ "$header" -std=c++17
	elif [[ $header != bench/*shim.h && $header != framework/context_*.h ]]; then
		compile gcc c "$header" -std=gnu11 -D_GNU_SOURCE
	fi
}
export -f check compile
export public

complaints=$(printf '%s\0' "${headers[@]}" | xargs -0 -n1 -P"$(nproc)" bash -c 'check "$1"' _ 2>&1)
if [ -n "$complaints" ]; then
	printf '%s\n' "$complaints"
	exit 1
fi
