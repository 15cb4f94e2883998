#!/bin/bash
# SPDX-License-Identifier: MIT
# Make ready for `ninja test-aarch64` on a Debian of another machine: put the arm64 libraries that
# programs are linked with into build/aarch64/root. They come from Debian, by an apt of their own,
# so that arm64 needn't become an architecture of this machine.
#
# Compiler and emulator are ordinary packages: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
set -eu
cd "$(dirname "$0")/.."

root=$PWD/build/aarch64/root apt=$PWD/build/aarch64/apt
mkdir -p "$root/usr/lib" "$apt"/{state/lists/partial,cache/archives/partial,packages}
: >"$apt/status"
get() {
	apt-get -qq -o APT::Architecture=arm64 -o APT::Sandbox::User=root \
		-o Dir::State="$apt/state" -o Dir::State::status="$apt/status" \
		-o Dir::Cache="$apt/cache" "$@"
}
get update || echo "aarch64: not all package lists are here; trying with the others" >&2
cd "$apt/packages"
# Those of ./setup, and what they are linked with.
get download libcmocka-dev libcmocka0 liburing-dev liburing2 libjansson-dev libjansson4 \
	libdw-dev libdw1 libelf-dev libelf1 libbz2-1.0 liblzma5 zlib1g-dev zlib1g
for package in *.deb; do
	dpkg -x "$package" "$root"
done
cp -a "$root/lib/." "$root/usr/lib/" # some packages have their libraries there
