#!/bin/bash
# SPDX-License-Identifier: MIT
# Install into a scratch folder and build tests/install/outside.c against it, as a stranger would:
# with pkg-config alone, shared and static, C and C++. The tutorial's programs are built the same
# way and spoken to. Closes with "N passed, N failed".
#
#   tests/install/check.sh INSTALL_COMMAND...
# shellcheck disable=SC2016 # the inner shells expand
set -u

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

# A check is a name and a command.
check() {
	local name=$1 said
	shift
	if said=$("$@" 2>&1); then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf 'install: %s: %s\n%s\n' "$name" "$*" "$said"
	fi
}

prefix=/opt/rota
lib=$scratch$prefix/lib
DESTDIR=$scratch PREFIX=$prefix "$@" || exit 1

# The sysroot stands for DESTDIR: pkg-config puts it before the paths of the .pc file.
unset PKG_CONFIG_PATH # would be searched first
export PKG_CONFIG_SYSROOT_DIR=$scratch PKG_CONFIG_LIBDIR=$lib/pkgconfig
outside() {
	local program=$1 compiler=$2
	shift 2
	# shellcheck disable=SC2046 # flags are words
	"$compiler" -Wall -Wextra -Werror "$@" -o "$scratch/$program" &&
		[ "$(LD_LIBRARY_PATH=$lib "$scratch/$program")" = 127.0.0.1:6379 ]
}
read -ra cflags < <(pkg-config --cflags rota)
read -ra shared < <(pkg-config --libs rota)
read -ra static < <(pkg-config --static --libs rota)
source=tests/install/outside.c

check 'shared, C' outside c gcc -std=c11 "${cflags[@]}" $source "${shared[@]}"
check 'shared, C++' outside cxx g++ -std=c++17 "${cflags[@]}" -x c++ $source -x none "${shared[@]}"
# It prints what its page says; the numbers of tasks depend on who was accepted when.
example() {
	local program=$scratch/$1 page=docs/tutorial/$1.md number='s/#[0-9]*/#N/'
	gcc -std=gnu11 -Wall -Wextra -Werror "${cflags[@]}" -o "$program" "docs/tutorial/$1.c" \
		"${shared[@]}" &&
		diff <(sed -n '/^```text$/,/^```$/{/^```/d;p}' "$page" | sed "$number") \
			<(LD_LIBRARY_PATH=$lib timeout 60 "$program" | sed "$number")
}
tutorial() {
	local program=$scratch/$1
	gcc -std=gnu11 -Wall -Wextra -Werror "${cflags[@]}" -o "$program" "docs/tutorial/$1.c" \
		"${shared[@]}" && LD_LIBRARY_PATH=$lib tests/install/talk.py "$program" "$2" "$3"
}
check 'tutorial: hello' tutorial 02-hello 'ada\nslow\nbob\n' \
	'hello ada, number 1\nsorry slow, no time\nhello bob, number 3\n'
check 'tutorial: hello, a protocol' tutorial 02-hello-protocol 'ada\nslow\nbob\n' \
	'hello ada\nhello slow\nhello bob\n'
check 'tutorial: structured concurrency' example 05-structured-concurrency
check 'tutorial: tally' tutorial 03-tally 'add 40\nadd 2\ntotal\nquit\n' '42\n42\n'
check 'tutorial: tally, refused' tutorial 03-tally 'add 1\nadd\ntotal\n' 'what?\n'
# prints PROGRAM PAGE: what it prints stands in the page, whole.
prints() {
	local program=$scratch/$1 page said
	gcc -std=gnu11 -Wall -Wextra -Werror "${cflags[@]}" -o "$program" "$(dirname "$2")/$1.c" \
		"${shared[@]}" || return
	said=$(LD_LIBRARY_PATH=$lib timeout 240 "$program") || return
	page=$(<"$2")
	[[ $page == *$'```\n'"$said"$'\n```'* ]] ||
		{ printf 'not in %s:\n%s\n' "$2" "$said"; return 1; }
}
check 'from asyncio' prints from-asyncio docs/from-asyncio.md
check 'tutorial: generators' prints 04-generators docs/tutorial/04-from-generators-to-tasks.md
check 'tutorial: tasks' prints 04-tasks docs/tutorial/04-from-generators-to-tasks.md
check 'tutorial: processes' prints 06-processes docs/tutorial/06-an-operating-system-of-tasks.md
check 'tutorial: tasks as processes' prints 06-tasks \
	 docs/tutorial/06-an-operating-system-of-tasks.md
# It is stuck for ever: the installed tool names both tasks, and ends with 3.
stuck() {
	local program=$scratch/08-stuck process status=0 said
	gcc -std=gnu11 -g -O2 -Wall -Wextra -Werror "${cflags[@]}" -o "$program" \
		docs/tutorial/08-stuck.c "${shared[@]}" || return
	LD_LIBRARY_PATH=$lib "$program" >"$scratch/said" &
	process=$!
	# Until both wait, or the program has ended: it should not.
	while [ $status != 3 ] && kill -0 $process 2>/dev/null; do
		said=$("$scratch$prefix/bin/rota" tree $process 2>&1)
		status=$?
	done
	kill $process
	echo "$said"
	[ $status = 3 ] && grep -q 'deadlock: .*"to bob".* held by task . "to ada"' <<<"$said"
}
check 'tutorial: stuck, looked at' stuck
rm "$lib/librota.so"
check 'static, C' outside static gcc -std=c11 "${cflags[@]}" $source "${static[@]}"
check 'static needs no library of ours' \
	bash -c '! ldd "$1" | grep rota' _ "$scratch/static"
check 'soname' test "$(readlink "$lib/librota.so.0")" = "librota.so.$(pkg-config --modversion rota)"
check 'every exported name is ours' \
	bash -c '! nm -D --defined-only "$1" | grep -v " rota_"' _ "$lib/librota.so.0"
for header in $(cd "$scratch$prefix/include" && find . -name '*.h'); do
	header=$scratch$prefix/include/$header
	check "$header" gcc -x c -std=c11 -fsyntax-only "${cflags[@]}" "$header"
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
