#!/bin/bash
# SPDX-License-Identifier: MIT
# Prove each rule of tests/tidy/tidy.sh and docs.sh: a small good tree passes, and each bad snippet
# put into it is found under the rule's name. Closes with "N passed, N failed".
# shellcheck disable=SC2016 # snippets are not for this shell
set -u
here=$(cd "$(dirname "$0")" && pwd)
judge=$here/tidy.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

# The good tree: one file of each kind, all rules kept.
good_tree() {
	rm -rf "$scratch/tree"
	mkdir -p "$scratch/tree"/{framework/include/rota,backends/{uring,epoll},protocols/resp} \
		"$scratch/tree"/{apps/kv/store,bench,tests/{tidy,unit/framework}}
	cd "$scratch/tree" || exit 1
	git init -q
	echo 'build a: cc framework/a.c' >framework/framework.ninja
	echo 'build a: cc backends/uring/u.c' >backends/backends.ninja
	echo 'build a: cc apps/kv/store/s.c' >apps/apps.ninja
	printf '%s\n' 'build test_a: test tests/unit/framework/test_a.c' \
		'build test: count $' '  $u/test_a.ok' >tests/tests.ninja
	touch tests/tidy/ratchet.txt
	head_of "An a." | tee framework/a.c backends/uring/u.c apps/kv/store/s.c >bench/b.c
	head_of "An a." | tee tests/unit/framework/test_a.c >protocols/resp/resp.h
	{
		head_of "The head of it."
		printf '%s\n' '#ifndef ROTA_A_H' '#define ROTA_A_H' '#include <rota/base.h>' \
			'#ifdef __cplusplus' 'extern "C" {' '#endif' '' \
			'/* What it does. Never suspends. */' 'ROTA_API int rota_a(void);' '' \
			'/* What it does. May suspend. */' \
			'ROTA_API ROTA_SUSPENDS int rota_b(void);' '#endif'
	} >framework/include/rota/a.h
}

head_of() {
	printf '/* SPDX-License-Identifier: MIT */\n/*\n * %s Any thread may call it.\n */\n' "$1"
}

tell() {
	if [ "$1" = ok ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "selftest: $2"
	fi
}

# expect RULE FILE SNIPPET: appended to FILE of the good tree, SNIPPET breaks RULE and nothing else.
expect() {
	local rule=$1 file=$2 snippet=$3 found

	good_tree
	mkdir -p "$(dirname "$file")"
	printf '%s\n' "$snippet" >>"$file"
	found=$("$judge" . | sed -E 's/^[^:]*:[0-9]+: ([a-z-]+).*/\1/' | sort -u | tr '\n' ' ')
	if [ "$found" = "$rule${rule:+ }" ]; then
		tell ok
	else
		tell bad "'$snippet' in $file: expected '$rule', found '$found'"
	fi
}

many() {
	local i
	for ((i = 0; i < $1; i++)); do echo "$2"; done
}

a=framework/a.c
h=framework/include/rota/a.h
expect '' $a ''
expect tree notes.txt 'some notes'
expect tree tools/x.ninja 'x = 1'
expect unfinished $a '/* TODO: more */'
expect unfinished $a '/* FIXME */'
expect dead-code $a '#if 0 /* tidy: allow conditional, this is about the other rule */'
root=/home
expect machine-path docs/a.md "see $root/me/rota"
expect '' docs/a.md 'see https://example.org/home/me and $HOME/work/x'
expect merge-marker $a '<<<<<<< HEAD'
expect merge-marker docs/a.md '======='
expect trailing-space $a 'int a; '
expect typedef $a 'typedef struct a a;'
expect '' $a 'typedef int (*rota_fn)(void);'
expect positive-errno $a '	return EINVAL;'
expect '' $a '	return -EINVAL;'
expect columns $a "$(many 101 x | tr -d '\n')"
expect columns $a "$(many 12 $'\t' | tr -d '\n')12345"
expect '' $a "$(many 100 … | tr -d '\n')"
expect '' $a "/* tidy: allow columns, a table */"$'\n'"$(many 101 x | tr -d '\n')"
expect licence framework/include/rota/b.h $'/*\n * What it is for is said.\n */\nint a;\nint b;'
expect describe framework/include/rota/b.h $'/* SPDX-License-Identifier: MIT */\n\n\n\n\nint a;'
expect conditional $a '#ifdef HAVE_X'
expect conditional $h '#if defined(X)'
expect conditional $a $'#ifndef HAVE_X\nint a;'
expect '' $a $'#ifndef MADV_COLD\n#define MADV_COLD 20\n#endif'
expect '' framework/include/rota/base.h "$(head_of "A base.")"$'\n#ifdef X'
expect include $a '#include "backends/uring/u.h"'
expect include $a '#include "protocols/resp/resp.h"'
expect include $a '#include "a_internal.h"'
expect include $a '#include "tests/support/t_alloc.h"'
expect include $a '#include <liburing.h>'
expect '' $a '#include "framework/task_internal.h"'
expect include backends/uring/u.c '#include "backends/epoll/epoll.h"'
expect include backends/uring/u.c '#include "framework/task_internal.h"'
expect '' backends/uring/u.c $'#include <liburing.h>\n#include "backends/uring/uring.h"'
expect include protocols/resp/resp.h '#include "backends/backends.h"'
expect include framework/include/rota/a.h '#include "framework/task_internal.h"'
expect include apps/kv/store/s.c '#include <rota/net.h>'
expect include apps/kv/store/s.c '#include "apps/kv/commands.h"'
expect include apps/kv/store/s.c '#include "protocols/resp/resp.h"'
expect '' apps/kv/store/s.c $'#include <rota/buffer.h>\n#include "apps/kv/store/table.h"'
expect include bench/b.c '#include "tests/support/t_alloc.h"'
expect '' bench/b.c '#include "framework/task_internal.h"'
expect comment $h $'\nROTA_API int rota_c(void);'
expect '' $h $'\n/* Both of them. */\nROTA_API int rota_c(void);\nROTA_API int rota_d(void);'
expect suspends $h $'\n/* May suspend. */\nROTA_API int rota_c(void);'
expect suspends $h $'\n/* Never suspends. */\nROTA_API ROTA_SUSPENDS int rota_c(void);'
expect build framework/b.c "$(head_of "Forgotten.")"
expect build tests/unit/framework/test_b.c "$(head_of "Forgotten.")"
expect size $a "$(many 800 'int a;')"
expect size $a "$(printf 'int f(void)\n{\n'; many 71 '	f();'; echo '}')"
expect '' $a "$(printf 'int f(void)\n{\n'; many 70 '	f();'; echo '}')"
expect size tests/tidy/ratchet.txt 'framework/a.c file 900'

judge=$here/docs.sh
d=docs/a.md
expect '' $d 'only words, `[x](y)` and <https://example.org/x>'
block=$'```c framework/a.c\n/*\n * An a. Any thread may call it.\n */\n```'
expect '' $d "$block"
expect code $d "${block/An a/A b}"
expect code $d "${block/ Any thread may call it./}"
expect code $d "${block/a.c/b.c}"
expect code $d "${block%$'\n'*}"
expect code $d $'```c\nint a;\n```'
expect '' docs/design/a.md $'```c\nint a;\n```'
expect '' $d $'```sh\nmake\n```'
expect '' $d $'# A heading, of `code`\n[a](../framework/a.c) [b](#a-heading-of-code)'
expect '' $d $'[out](https://example.org/docs/none.md)\n```\n[x](y)\n```'
expect link $d 'see [a](../framework/none.c)'
expect link $d '[a](../framework/a.c), [b](b.md)'
expect link $d $'# A heading\n[b](#another)'
expect mention $a '/* docs/none.md */'
expect mention build.ninja '# docs/design/none.pml'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
