#!/bin/bash
# SPDX-License-Identifier: MIT
# The rules of docs/style.md that a script can check, over every file that git knows or would add.
#
#   tests/tidy/tidy.sh [ROOT]             print a line per finding and fail if there is one
#   tests/tidy/tidy.sh --ratchet [ROOT]   print what tests/tidy/ratchet.txt should hold now
#
# One shell function or awk pass per rule, each proven by a bad snippet in tests/tidy/selftest.sh. A
# rule that hurts in one place is broken there: `tidy: allow RULE, reason` in the line or the one
# above it.
set -u

print_ratchet=0
if [ "${1-}" = --ratchet ]; then
	print_ratchet=1
	shift
fi
cd "${1:-$(dirname "$0")/../..}" || exit 2
# Characters beyond ASCII count as one column each, so bytes are what we want to look at.
export LC_ALL=C

lines_max=800      # per file: past it, split by concept
function_max=70    # per function: past it, ask how to cut
columns_max=100
ratchet=tests/tidy/ratchet.txt
folders='framework|backends|protocols|apps|bench|tests|docs'
top_level="^($folders)/|^(build\.ninja|README\.md|LICENSE|setup)\$|^\."
# Installed, at <rota/…>.
public='^framework/include/.*\.h$|^backends/backends\.h$|^protocols/([a-z0-9]+)/\1\.h$'
# Where the machine, the compiler or a library's version may be asked for at compile time.
conditional='/base\.h$|/context[^/]*$|/probe\.c$|/compat\.h$|/(sanitizer|valgrind)[^/]*\.h$'
# Eight tags at once, with SSE2 and without.
conditional+='|^apps/kv/store/match\.h$'
# The processor's counter.
conditional+='|^framework/ticks\.h$'
# A test that must know under which sanitizer it runs.
conditional+='|/test_stack\.c$'
# Files whose lines are data that somebody else wrote, or that no editor wraps.
not_text='\.(png|svg|rdb|bin|gz)$|^tests/fuzz/(corpus|regression)/|^LICENSE$'

mapfile -t all < <(git ls-files --cached --others --exclude-standard | while read -r file; do
	[ -f "$file" ] && echo "$file"
done)
matching() {
	printf '%s\n' "${all[@]}" | grep -E "$1"
}
mapfile -t text < <(matching . | grep -vE "$not_text")
mapfile -t c < <(matching '\.[ch]$')
mapfile -t code < <(matching '\.([chS]|cc)$')
mapfile -t headers < <(matching "$public")
mapfile -t commented < <(matching '\.([chS]|cc|sh|py)$|^setup$|^\.ci/run$')
mapfile -t unconditional < <(matching '\.[ch]$' | grep -vE "$conditional")

# ---- the tree ----

check_top_level() {
	matching . | grep -vE "$top_level" | sed 's/$/:1: tree: unknown at the top level/'
}

# ---- lines ----

check_lines() {
	grep -nHE 'TODO|FIXME|XXX' "${code[@]}" /dev/null |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: unfinished: do it, or file it/'
	grep -nHE '^[[:space:]]*#[[:space:]]*if[[:space:]]+[01]\b' "${code[@]}" /dev/null |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: dead-code: #if 0 is what git keeps/'
	grep -nHE '(^|[^A-Za-z0-9_./$}])/(home|root|work|Users|mnt)/' "${text[@]}" /dev/null |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: machine-path: of one machine only/'
	grep -nHE '^(<<<<<<<|>>>>>>>)( |$)|^=======$' "${text[@]}" /dev/null |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: merge-marker: left over/'
	grep -nHE '[[:space:]]+$' "${text[@]}" /dev/null |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: trailing-space: nothing there/'
	grep -nHE '^[[:space:]]*typedef[[:space:]]+(struct|union|enum)\b' "${c[@]}" /dev/null |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: typedef: write struct x out/'
	# Errors are negative; epoll's event bits are none.
	grep -nHE 'return E[A-Z0-9]+;' "${c[@]}" /dev/null | grep -v 'return EPOLL' |
		sed -E 's/^([^:]*:[0-9]+):.*/\1: positive-errno: errors are negative/'
}

check_columns() {
	awk -v max="$columns_max" '
		FNR == 1 { skip = FILENAME ~ /\.(md|txt|def|tsv)$/ }
		skip || length * 8 <= max { next }
		{
			line = $0
			gsub(/[\200-\277]/, "", line)
			while (tab = index(line, "\t"))
				line = substr(line, 1, tab - 1) \
					substr("        ", (tab - 1) % 8 + 1) substr(line, tab + 1)
		}
		length(line) > max { print FILENAME ":" FNR ": columns: " length(line) }
	' "${text[@]}" /dev/null
}

# The licence (a script's first line is its interpreter), then what the file is for.
check_heads() {
	awk '
		FNR == 1 { spdx = !/SPDX-License-Identifier: MIT/; prose = 0 }
		FNR == 2 && FILENAME !~ /\.([chS]|cc)$/ && /SPDX-License-Identifier: MIT/ {
			spdx = 0
		}
		FNR == 3 && spdx { print FILENAME ":1: licence: SPDX line missing" }
		FNR >= 2 && FNR <= 5 && /[A-Za-z]+ [A-Za-z]+ / && !/SPDX|#include/ { prose = 1 }
		FNR == 6 && !prose { print FILENAME ":2: describe: say what this file is for" }
	' /dev/null "${commented[@]}"
}

# ---- the preprocessor ----

# No choices are: C++, and a name defined just because it is not (a guard, an older system header).
check_conditionals() {
	awk '
		FNR == 1 { absent = "" }
		absent != "" {
			if ($1 != "#define" || $2 != absent)
				print FILENAME ":" FNR - 1 ": conditional: choose at run time"
			absent = ""
		}
		/^#ifndef / { absent = $2; next }
		/^[ \t]*#[ \t]*if/ && !/__cplusplus/ {
			print FILENAME ":" FNR ": conditional: choose at run time"
		}
	' /dev/null "${unconditional[@]}"
}

# ---- who may include whom ----

# The table of docs/style.md. First the includer's folder, then what it may name besides libc.
check_includes() {
	awk -v public=" ${headers[*]} " '
		function bad(why) { print FILENAME ":" FNR ": include: " why ": " what }
		FNR == 1 {
			store = FILENAME ~ /^apps\/kv\/store\//
			split(FILENAME, part, "/")
			folder = part[1]
			inner = part[1] "/" part[2] "/"
		}
		!/^[ \t]*#[ \t]*include/ { next }
		{
			what = $0
			sub(/^[ \t]*#[ \t]*include[ \t]*/, "", what)
			quoted = what ~ /^"/
			name = substr(what, 2)
			sub(/[">].*/, "", name)
		}
		!quoted && name ~ /^rota\// {
			if (store && name !~ /^rota\/(base|buffer|error|memory|time)\.h$/)
				bad("the store knows base, buffer, error, memory and time only")
			next
		}
		!quoted && name ~ /^liburing/ {
			if (FILENAME !~ /^(backends\/uring|bench|tests)\//)
				bad("io_uring is for backends/uring")
			next
		}
		!quoted || folder == "tests" { next }
		index(public, " " FILENAME " ") { bad("public headers include <…> only"); next }
		name !~ /\// { bad("private headers go by their path from the root"); next }
		name ~ /^tests\// { bad("nothing depends on tests"); next }
		folder == "bench" { next }
		name ~ /^bench\// { bad("nothing depends on bench"); next }
		folder == "framework" && name !~ /^framework\// {
			bad("the framework knows contracts only")
		}
		folder == "backends" && name !~ /^backends\// {
			bad("an engine sees <rota/…> only")
		}
		folder == "protocols" && name !~ /^protocols\// {
			bad("a protocol sees <rota/…> only")
		}
		# backends/select.c and the like, one level up, know them all.
		folder == "backends" && part[3] != "" && name ~ /^backends\/.*\// &&
			index(name, inner) != 1 {
			bad("engines do not know each other")
		}
		folder == "apps" && store && name !~ /^apps\/kv\/store\// {
			bad("the store knows nobody above it")
		}
		folder == "apps" && !store && index(name, inner) != 1 &&
			name !~ /^protocols\/|^backends\/backends\.h$/ {
			bad("an application sees public headers and its own")
		}
	' /dev/null "${code[@]}"
}

# ---- declarations ----

# A comment ends in the line above each ROTA_API declaration, or it stands in a group below one.
check_public_comments() {
	awk '
		FNR == 1 { commented = 0 }
		/^ROTA_API/ && !commented { print FILENAME ":" FNR ": comment: undescribed" }
		/\*\/[ \t]*$/ { commented = 1; next }
		/^[ \t]*$/ { commented = 0 }
	' /dev/null "${headers[@]}"
}

# What says that it suspends is marked so, and the other way round.
check_suspends() {
	awk '
		FNR == 1 { comment = "" }
		/^[ \t]*(\/\*|\*)/ {
			if (/\/\*/)
				comment = ""
			comment = comment "\n" $0
			next
		}
		/^[ \t]*$/ { comment = ""; next }
		/^ROTA_API/ {
			says = comment ~ /Suspends( +yes|\.| (until|while|when|if))|May suspend/
			marked = /ROTA_SUSPENDS/
			if (says && !marked)
				print FILENAME ":" FNR ": suspends: not declared so"
			if (comment ~ /Never suspends|Suspends +no/ && marked)
				print FILENAME ":" FNR ": suspends: the comment says it never does"
		}
	' /dev/null "${headers[@]}"
}

# ---- what the build was told ----

check_build_lists() {
	local file name
	for file in $(matching '^(framework|backends|protocols|apps)/.*\.[cS]$'); do
		grep -qsF " $file" "${ninja[@]}" || echo "$file:1: build: in no .ninja file"
	done
	for file in $(matching '^tests/(unit|contract|sim)/.*/?test_[^/]*\.c$'); do
		name=${file##*/}
		name=${name%.c}
		grep -qsF " $file" "${ninja[@]}" || echo "$file:1: build: in no .ninja file"
		# Two folders may each have a test_engine.c: as many lines as files of that name.
		[ "$(grep -csE "^  [^ ]*/$name\.ok( |\$)" tests/tests.ninja)" = \
			"$(matching "^tests/.*/$name\.c\$" | wc -l)" ] ||
			echo "$file:1: build: $name.ok is not in the list of tests/tests.ninja"
	done
}
mapfile -t ninja < <(matching '\.ninja$')

# ---- sizes, as a ratchet ----

# What is too long today, as "file what lines"; a static function's opening and closing brace stand
# alone.
oversize() {
	awk -v lines_max="$lines_max" -v function_max="$function_max" '
		function close_file() { if (lines > lines_max) print file, "file", lines }
		FNR == 1 { close_file(); file = FILENAME; head = "" }
		{ lines = FNR }
		/^[A-Za-z_].*\(/ { head = $0 }
		/^\{$/ { start = FNR }
		/^\}$/ && start {
			name = head
			sub(/\(.*/, "", name)
			sub(/.*[ *]/, "", name)
			if (FNR - start - 1 > function_max)
				print FILENAME, name, FNR - start - 1
			start = 0
		}
		END { close_file() }
	' "${code[@]}" /dev/null | sort
}

# Nothing new may cross the limit, and what is across may not grow; who shrinks one tightens the
# ratchet.
check_sizes() {
	awk -v list="$ratchet" '
		BEGIN {
			while ((getline line < list) > 0)
				if (line !~ /^#|^$/) {
					split(line, field, " ")
					allowed[field[1] " " field[2]] = field[3]
				}
		}
		{
			key = $1 " " $2
			now[key] = $3
			if (!(key in allowed))
				print $1 ":1: size: " $2 " has " $3 " lines"
			else if ($3 > allowed[key])
				print $1 ":1: size: " $2 " has " $3 " lines, had " allowed[key]
		}
		END {
			for (key in allowed)
				if (now[key] < allowed[key])
					print list ":1: size: shrunk, see --ratchet: " key
		}
	' <(oversize)
}

if [ "$print_ratchet" = 1 ]; then
	echo "# Beyond the limits of docs/style.md: file, what, lines. This list only shrinks."
	oversize
	exit 0
fi

# Drop what a "tidy: allow RULE" in the line or the one above permits.
without_allowed() {
	local finding file line rule
	while IFS= read -r finding; do
		IFS=: read -r file line rule _ <<<"$finding"
		sed -n "$((line > 1 ? line - 1 : 1)),${line}p" "$file" 2>/dev/null |
			grep -qF "tidy: allow${rule}," || echo "$finding"
	done
}

findings=$(
	{
		check_top_level
		check_lines
		check_columns
		check_heads
		check_conditionals
		check_includes
		check_public_comments
		check_suspends
		check_build_lists
		check_sizes
	} 2>&1 | sort -t: -k1,1 -k2,2n | without_allowed
)
if [ -n "$findings" ]; then
	printf '%s\n' "$findings"
	exit 1
fi
