#!/bin/bash
# SPDX-License-Identifier: MIT
# Build the servers of bench/peers/peers.tsv that can be built here, say of each whether it is ready
# or what is missing, and list the ready ones in build/peers/ready.tsv: name, kind, command.
#
#   bench/peers/peers.sh        ninja peers
#
# Fails when one could not be built although what it needs is here.
set -u
cd "$(dirname "$0")/../.." || exit 1

mkdir -p build/peers
status=0

# build PROGRAM SOURCE [LIBRARY]...: unless it is there and newer.
build() {
	local program=$1 source=bench/peers/$2
	shift 2
	[ "$program" -nt "$source" ] && return
	case $source in
	*.c) gcc -O2 -g -Wall -Wextra -D_GNU_SOURCE "$source" -o "$program" "$@" ;;
	*.cc) g++ -O2 -g -Wall -Wextra -std=c++17 "$source" -o "$program" "$@" -pthread ;;
	*.go) GOCACHE=$PWD/build/peers/go-cache go build -o "$program" "$source" ;;
	esac
}

while IFS=$'\t' read -r name kind command needs package sources; do
	[[ $name == '#'* ]] && continue
	read -ra words <<<"$sources"
	# Two words: a kind of thing, and which.
	read -ra wanted <<<"$needs"
	if ! ./setup --is-there "${wanted[@]}" </dev/null; then
		echo "$name: missing ${wanted[1]} (Debian: $package)"
	elif [ "$sources" != - ] && ! build "${command%% *}" "${words[@]}"; then
		echo "$name: $sources could not be built"
		status=1
	else
		echo "$name: ready"
		printf '%s\t%s\t%s\n' "$name" "$kind" "$command" >&3
	fi
done <bench/peers/peers.tsv 3>build/peers/ready.tsv.new
mv build/peers/ready.tsv.new build/peers/ready.tsv
exit $status
