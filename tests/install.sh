#!/bin/sh
# make install keeps an edited sallyport.conf and says so, and make uninstall leaves it; one that was not edited comes and goes.
# Runs in a build tree, as make check does; srcdir is the source directory.
set -eu

srcdir=$(cd "${srcdir:-$(dirname "$0")/..}" && pwd)
[ -f Makefile ] || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MFLAGS

fail() {
	echo "install: $*" >&2
	exit 1
}

run() { # run GOAL: to a place of its own, whatever configure was told
	make -s "$1" DESTDIR="$work" bindir=/bin sysconfdir=/etc docdir=/doc mandir=/man >"$work/said" 2>&1 || {
		cat "$work/said"
		fail "make $1 failed"
	}
}

mkdir "$work/bin" # which uninstall looks into
conf=$work/etc/sallyport/sallyport.conf
run install-data
cmp -s "$srcdir/conf/sallyport.conf" "$conf" || fail "sallyport.conf was not installed"
run uninstall
[ ! -e "$conf" ] || fail "uninstall left a sallyport.conf that nobody edited"

run install-data
echo "# edited" >>"$conf"
cp "$conf" "$work/edited"
run install-data
cmp -s "$work/edited" "$conf" || fail "an edited sallyport.conf was overwritten"
grep -q "stays as it is" "$work/said" || fail "install does not say that it kept sallyport.conf"
cmp -s "$srcdir/conf/sallyport.conf" "$work/doc/examples/sallyport.conf" || fail "the new defaults are nowhere"
run uninstall
cmp -s "$work/edited" "$conf" || fail "uninstall removed an edited sallyport.conf"
