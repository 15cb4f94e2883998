#!/bin/bash
# SPDX-License-Identifier: MIT
# Install a variant: library, public headers, pkg-config file, programs. Called by `ninja install`.
#
#   framework/install.sh BUILT VERSION SONAME [PROGRAM]...
#
# BUILT is the variant's folder. Goes below $DESTDIR (packagers' staging folder, empty by default)
# and $PREFIX (where it will be found, /usr/local by default).
set -euo pipefail
shopt -s nullglob

built=$1 version=$2 soname=$3
shift 3
prefix=${PREFIX:-/usr/local}
root=${DESTDIR-}$prefix
include=$root/include/rota

install -d "$root/lib/pkgconfig" "$root/bin" "$include"
install -m 644 "$built/librota.a" "$root/lib/librota.a"
install -m 755 "$built/$soname" "$root/lib/librota.so.$version"
ln -sf "librota.so.$version" "$root/lib/$soname"
ln -sf "$soname" "$root/lib/librota.so"

install -m 644 framework/include/rota/*.h "$include"
# Outside the tree they are <rota/backends.h> and <rota/protocols/NAME.h>.
for header in backends/*.h protocols/*/*.h; do
	name=${header##*/}
	case $header in
	backends/backends.h) install -m 644 "$header" "$include/$name" ;;
	protocols/"${name%.h}/$name") install -D -m 644 "$header" "$include/protocols/$name" ;;
	esac
done

sed -e "s|@prefix@|$prefix|" -e "s|@version@|$version|" framework/rota.pc.in \
	>"$root/lib/pkgconfig/rota.pc"
chmod 644 "$root/lib/pkgconfig/rota.pc"

# In gdb: source $PREFIX/share/rota/rota-gdb.py
install -D -m 644 apps/rota/gdb/rota-gdb.py "$root/share/rota/rota-gdb.py"
for program in "$@"; do
	install -m 755 "$program" "$root/bin"
done
if [ -z "${DESTDIR-}" ] && [ "$(id -u)" = 0 ]; then
	ldconfig 2>/dev/null || true
fi
