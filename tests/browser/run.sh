#!/usr/bin/env bash
# Runs the tests that are made of real parts: Chromium, noVNC, Xvnc, sshd, and the usual WebSocket clients.
# The last line says how many passed and failed. Needs the packages of packages.txt.
#
#     SALLYPORT=/absolute/path/of/sallyport tests/browser/run.sh [vnc|ssh|clients]...
#
#     CYCLES=N                  noVNC sessions in a row over ws, and over wss (default: 100)
#     SALLYPORT_TEST_CACHE=DIR  keeps what npm installs (default: a temporary directory)
#     ARTIFACTS=DIR             screenshots (default: artifacts/ in the current directory)
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
work=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-browser.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cache=${SALLYPORT_TEST_CACHE:-$work/npm}

case ${SALLYPORT:-} in
/*) [ -x "$SALLYPORT" ] || { echo "SALLYPORT: $SALLYPORT can't be run" >&2; exit 2; } ;;
*) echo "SALLYPORT must be the absolute path of the gateway" >&2; exit 2 ;;
esac

# --ignore-scripts: the one script there is would only speed up a cipher.
install_modules() {
	mkdir -p "$cache" || return
	cmp -s "$here/package.json" "$cache/package.json" && [ -d "$cache/node_modules/ws" ] && return
	cp "$here/package.json" "$cache/package.json" && cd "$cache" &&
		npm install --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error >&2
}
(install_modules) || { echo "FAILED  npm install"; echo "0 passed, 1 failed"; exit 1; }
export NODE_PATH=$cache/node_modules

passed=0 failed=0
[ $# -gt 0 ] || set -- clients ssh vnc
for name in "$@"; do
	timeout --kill-after=30 400 node "$here/$name.js" | tee "$work/$name.log"
	counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/$name.log" | tail -n 1)
	if [ -n "$counts" ]; then
		passed=$((passed + ${counts%% *}))
		counts=${counts#*, }
		failed=$((failed + ${counts%% *}))
	else
		echo "FAILED  $name: it ended without a result"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
