#!/usr/bin/env bash
# What memcheck says of the unit tests, of the gateway under a selection of tests/integration, and MemorySanitizer of the modules
# that are pure. Each program is one test; the last line says how many passed and failed.
#
#     tests/valgrind.sh            all of it
#     tests/valgrind.sh PART...    of unit, gateway, msan
#
# One error, or one block of memory that nothing points to at the end, fails a test. It works from any directory, and leaves
# what was said in artifacts/valgrind-*.
#
#     BUILD=DIR      where to build (default: a new directory, removed at the end)
#     ARTIFACTS=DIR  where to leave the logs
#     NO_INSTALL=1   install nothing
set -uo pipefail

# What the gateway runs under memcheck, which makes it 30 times slower: messages, every kind of end, and the traps of TLS.
SELECTION=(test_echo.py test_endings.py test_traps.py)
# Of these, what needs files, and what looks at the program's file, which is a script here.
LEFT_OUT='slow_download_kept_alive or request_then_fin or pkg_linkage'
# What memcheck cannot run: it does not know openat2(2), without which there are no files.
NO_OPENAT2='test_files|test_route|test_steward|test_tokens'
# It keeps descriptors for itself, so that nobody can run out of them.
NO_LIMIT='test_channel|test_listener'
# Modules without a library that MemorySanitizer would have to know.
PURE='test_http test_pace test_str test_utf8 test_ws'

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
parts=("$@")
[ $# -gt 0 ] || parts=(unit gateway msan)
PYTHON=/usr/bin/python3
ARTIFACTS=${ARTIFACTS:-$top/artifacts}
mkdir -p "$ARTIFACTS" && ARTIFACTS=$(cd "$ARTIFACTS" && pwd -P) || exit 2
jobs=$(nproc 2>/dev/null || echo 2)
work=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-valgrind.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
build=${BUILD:-$work/build}
mkdir -p "$build" && build=$(cd "$build" && pwd -P) || exit 2
export PYTHONDONTWRITEBYTECODE=1 srcdir=$top

. "$top/tests/packages.sh"
if [ -z "${NO_INSTALL:-}" ] && command -v apt-get >/dev/null; then
	install_debian autoconf automake clang gcc libc6-dbg libc6-dev libcmocka-dev libevent-dev libinih-dev libssl-dev make openssl \
		pkg-config python3 python3-pytest python3-websockets valgrind >"$work/install.log" 2>&1 || tail -n 20 "$work/install.log"
fi

good=0 bad=0
verdict() { # verdict STATUS WHAT LOG
	if [ "$1" = 0 ]; then
		good=$((good + 1))
		echo "ok      $2"
	else
		bad=$((bad + 1))
		tail -n 40 "$3"
		echo "FAILED  $2"
	fi
}

memcheck=(valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite
	"--suppressions=$top/tests/valgrind.supp")

configured() { # configured NAME [configure's arguments]
	[ -x "$top/configure" ] || (cd "$top" && ./autogen.sh) || return 1
	mkdir -p "$build/$1" && cd "$build/$1" || return 1
	shift
	[ -f Makefile ] || "$top/configure" -q --disable-hardening "$@"
}

built() { # built NAME COMMAND...: with a log
	"${@:2}" >"$ARTIFACTS/valgrind-$1.log" 2>&1 && return
	verdict 1 "build for $1" "$ARTIFACTS/valgrind-$1.log"
	return 1
}

# Without the filter of system calls: valgrind makes some of its own.
build_plain() { configured plain --without-seccomp CFLAGS='-O1 -g' && make -s -j"$jobs" all && make -s -j"$jobs" check TESTS=; }

run_unit() {
	built unit build_plain || return
	local name test
	cd "$build/plain" || return
	for test in "$top"/tests/unit/test_*.c; do
		name=$(basename "$test" .c)
		[[ $name =~ ^($NO_OPENAT2|$NO_LIMIT)$ ]] && continue
		[ -x "tests/unit/$name" ] || continue # it needs libseccomp
		"${memcheck[@]}" "tests/unit/$name" >"$ARTIFACTS/valgrind-$name.log" 2>&1
		verdict $? "memcheck: $name" "$ARTIFACTS/valgrind-$name.log"
	done
}

# A gateway with errors ends with another status than 0, which no test lets pass.
run_gateway() {
	built gateway build_plain || return
	local file log
	printf '#!/bin/sh\nexec %s %s/plain/sallyport "$@"\n' "${memcheck[*]}" "$build" >"$work/sallyport"
	chmod +x "$work/sallyport"
	cd "$top/tests/integration" || return
	for file in "${SELECTION[@]}"; do
		log=$ARTIFACTS/valgrind-${file%.py}.log
		SALLYPORT=$work/sallyport SALLYPORT_TEST_TIMEOUT=120 timeout --kill-after=10 600 "$PYTHON" -m pytest -p no:cacheprovider -q \
			-m "not slow and not native" -k "not ($LEFT_OUT)" --basetemp="$work/tmp" "$file" >"$log" 2>&1
		verdict $? "memcheck: gateway in $file: $(tail -n 1 "$log")" "$log"
	done
}

build_msan() {
	# shellcheck disable=SC2086 # the programs are words
	configured msan --without-seccomp CC=clang CFLAGS='-O1 -g -fsanitize=memory -fno-omit-frame-pointer' && make -s -j"$jobs" ${PURE//test_/tests/unit/test_}
}

run_msan() {
	built msan build_msan || return
	local name
	for name in $PURE; do
		"$build/msan/tests/unit/$name" >"$ARTIFACTS/valgrind-msan-$name.log" 2>&1
		verdict $? "MemorySanitizer: $name" "$ARTIFACTS/valgrind-msan-$name.log"
	done
}

for part in "${parts[@]}"; do
	case $part in
	unit | gateway | msan) "run_$part" ;;
	*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
	esac
done
echo "$good passed, $bad failed"
[ "$bad" = 0 ]
