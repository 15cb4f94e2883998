#!/bin/bash
# SPDX-License-Identifier: MIT
# clang-tidy with .clang-tidy's checks over the C files of the library, the programs and the
# benchmarks, on all cores; about a second of CPU per file. What passed is not looked at again until
# it, a header of it, the checks or the compiler change: build/lint keeps a hash of all these per
# file.
#
# ROTA_DEBUG is on so that the analyzer knows the invariants that are too costly for release.
set -u
cd "$(dirname "$0")/../.." || exit 1

lint() {
	local file=$1 stamp=build/lint/$1.ok hash
	local flags=(-std=gnu11 -D_GNU_SOURCE -DROTA_DEBUG=1 -I. -Iframework/include
		-DBUILT_WITH_FLAGS='""' -DBUILT_WITH_LIBURING='""')

	hash=$({
		clang-tidy --version
		cat .clang-tidy
		clang "${flags[@]}" -E -C "$file"
	} | sha256sum)
	if [ -f "$stamp" ] && [ "$(<"$stamp")" = "$hash" ]; then
		return
	fi
	clang-tidy --quiet "$file" -- "${flags[@]}" 2>/dev/null || return
	mkdir -p "${stamp%/*}"
	echo "$hash" >"$stamp"
}
export -f lint

# shellcheck disable=SC2016 # the inner shell expands
git ls-files -z --cached --others --exclude-standard -- \
	'framework/*.c' 'backends/*.c' 'protocols/*.c' 'apps/*.c' 'bench/*.c' |
	xargs -0 -n1 -P"$(nproc)" bash -c 'lint "$1"' _
