#!/bin/bash
# SPDX-License-Identifier: MIT
# Check the protocols modelled in docs/design/*.pml with spin, exhaustively.
#
#   tests/models.sh [MODEL]...
#
# A model says itself how it is to be run, one line per run in its first comment:
#
#	* holds: DEFINES...	no error may be found
#	* fails: DEFINES...	an error must be found, so that the model is known to see it
#
# Closes with "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1

seconds=120
depth=1000000
if ! command -v spin >/dev/null; then
	echo "models: not checked, spin is not here" >&2
	exit 0
fi
[ $# -gt 0 ] || set -- docs/design/*.pml
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Prints what the checker found: "errors: N", and the size of the search.
search() {
	local model=$1 defines=$2

	# spin writes into the folder it is started in.
	cp "$model" "$folder/model.pml" && cd "$folder" || exit 1
	# shellcheck disable=SC2086 # the defines are words
	spin -a $defines model.pml >spin.log 2>&1 &&
		${CC:-gcc} -O2 -w -DSAFETY -o pan pan.c &&
		timeout "$seconds" ./pan -m$depth >pan.log 2>&1
	grep -hoE 'errors: [0-9]+|[0-9]+ states, stored|max search depth too small' pan.log | xargs
}

passed=0
failed=0
# The runs that a model's first comment asks for.
runs='/\*\//q; s/^ \*[[:space:]]+(holds|fails): *(-D[^[:space:]]*( -D[^[:space:]]*)*).*/\1 \2/p'
for model in "$@"; do
	while read -r expected defines; do
		found=$(search "$model" "$defines")
		case $expected:$found in
		*'too small'*) verdict=FAILED ;;
		holds:*'errors: 0'*) verdict=ok ;;
		fails:*'errors: 1'*) verdict=ok ;;
		*) verdict=FAILED ;;
		esac
		[ $verdict = ok ] && passed=$((passed + 1)) || failed=$((failed + 1))
		echo "$verdict ${model##*/} $expected $defines: ${found:-nothing}"
		rm -f "$folder"/pan*
	done < <(sed -nE "$runs" "$model")
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
