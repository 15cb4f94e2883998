#!/bin/bash
# SPDX-License-Identifier: MIT
# Check that the documents say what the tree holds:
#
#   code     a block that begins with "```c FILE" is a contiguous part of FILE, to the letter; no
#            other C stands in README.md, docs/ and docs/tutorial/, because nothing would compile it
#   link     a relative link leads to a file, and its #anchor to a heading there
#   mention  docs/NAME.md, docs/NAME.pml named anywhere in the tree is there
#
#   tests/tidy/docs.sh [ROOT]   print a line per finding and fail if there is one
#
# Proven by bad snippets in tests/tidy/selftest.sh.
# shellcheck disable=SC2016 # the back-ticks are Markdown's
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 2

mapfile -t all < <(git ls-files --cached --others --exclude-standard | while read -r file; do
	[ -f "$file" ] && echo "$file"
done)
mapfile -t pages < <(printf '%s\n' "${all[@]}" | grep '\.md$')

# ---- code ----

# part_of FILE BLOCK: whole lines only.
part_of() {
	local content
	content=$'\n'$(<"$1")$'\n'
	[[ $content == *$'\n'"$2"$'\n'* ]]
}

check_code() {
	local page=$1 line number=0 begin=0 kind='' file='' block=''
	while IFS= read -r line || [ -n "$line" ]; do
		number=$((number + 1))
		if [ "$begin" = 0 ] && [[ $line == '```'* ]]; then
			begin=$number block=
			read -r kind file <<<"${line#'```'}"
		elif [ "$begin" != 0 ] && [[ $line == '```' ]]; then
			if [ "$kind" != c ]; then
				:
			elif [ -z "$file" ]; then
				[[ $page == docs/design/* ]] ||
					echo "$page:$begin: code: say which file it is from"
			elif [ ! -f "$file" ]; then
				echo "$page:$begin: code: there is no $file"
			elif ! part_of "$file" "${block%$'\n'}"; then
				echo "$page:$begin: code: differs from $file"
			fi
			begin=0
		elif [ "$begin" != 0 ]; then
			block+=$line$'\n'
		fi
	done <"$page"
	[ "$begin" = 0 ] || echo "$page:$begin: code: the block has no end"
}

# ---- links ----

# The anchors of a page's headings, as forges make them.
anchors() {
	sed -nE '/^```/,/^```$/d; s/^#+ +//p' "$1" | tr '[:upper:]' '[:lower:]' |
		sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

# Prints LINE:TARGET for each link outside of code.
links() {
	awk '
		/^```/ { inside = !inside; next }
		inside { next }
		{
			gsub(/`[^`]*`/, "")
			while (match($0, /\]\([^) ]+\)/)) {
				print FNR ":" substr($0, RSTART + 2, RLENGTH - 3)
				$0 = substr($0, RSTART + RLENGTH)
			}
		}
	' "$1"
}

check_links() {
	local page=$1 number target path anchor
	while IFS=: read -r number target; do
		[[ $target =~ ^[a-z]+: ]] && continue
		path=${target%%#*} anchor=
		[[ $target == *'#'* ]] && anchor=${target#*#}
		[ -z "$path" ] && path=$page || path=$(dirname "$page")/$path
		if [ ! -e "$path" ]; then
			echo "$page:$number: link: $target leads nowhere"
		elif [ -n "$anchor" ] && ! anchors "$path" | grep -qxF -- "$anchor"; then
			echo "$page:$number: link: $target has no such heading"
		fi
	done < <(links "$page")
}

# ---- what the sources name ----

check_mentions() {
	local file number name
	while IFS=: read -r file number name; do
		[ -f "$name" ] || echo "$file:$number: mention: there is no $name"
	done < <(printf '%s\0' "${all[@]}" | grep -zvE '^tests/tidy/|\.md$' |
		xargs -0r grep -noE 'docs/[A-Za-z0-9_/-]+\.(md|pml)' /dev/null)
}

findings=$(
	for page in "${pages[@]}"; do
		check_code "$page"
		check_links "$page"
	done
	check_mentions
)
if [ -n "$findings" ]; then
	printf '%s\n' "$findings"
	exit 1
fi
