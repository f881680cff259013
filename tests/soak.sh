#!/usr/bin/env bash
# Runs one million sessions of all kinds of end and looks at what is left of them: descriptors, memory, the log's count.
#
#     tests/soak.sh [-n SESSIONS] [-c AT_ONCE] [-s STEPS]
#
# SALLYPORT=/absolute/path/of/the/binary says which gateway; without it one is built. What is measured, and what is demanded, is
# in soak/soak.py; soak/reload.py and soak/restart.py use the same client.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

. "$top/tests/packages.sh"
if [ -z "${NO_INSTALL:-}" ] && command -v apt-get >/dev/null; then
	install_debian autoconf automake gcc libc6-dev libevent-dev libinih-dev libssl-dev make openssl pkg-config python3 >&2
fi

if [ -z "${SALLYPORT:-}" ]; then
	work=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-soak-build.XXXXXX")
	chmod 711 "$work"
	[ -x "$top/configure" ] || (cd "$top" && ./autogen.sh >&2)
	(cd "$work" && "$top/configure" -q >&2 && make -s sallyport >&2)
	export SALLYPORT=$work/sallyport
fi
PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$top/tests/soak/soak.py" "$@"
