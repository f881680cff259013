#!/usr/bin/env bash
# How much of src/ the tests reach: builds with gcov, runs make check (unit tests, corpora of the fuzzers) and tests/integration,
# and prints lines and branches of each file and in total. The last line says how many goals were met and missed.
#
#     tests/coverage.sh [TEST...]   of the files of tests/integration only these, such as test_echo.py
#
# It works from any directory, and leaves in artifacts/ what the tests said and which lines they did not reach (coverage.txt).
#
#     GOAL_LINES=90 GOAL_BRANCHES=80   in per cent
#     JOBS=N         files of tests at a time (default: two more than there are processors)
#     BUILD=DIR      where to build (default: a new directory, removed at the end)
#     ARTIFACTS=DIR  where to leave the reports
#     NO_INSTALL=1   install nothing
#
# Branches of an assert() do not count: the one that is not taken is a bug. A gateway writes its counters as it ends, which a
# sandbox would forbid: this build has no filter of system calls, Landlock seems to be missing, and whoever the gateway
# becomes may write where it was built.
set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PYTHON=/usr/bin/python3
ARTIFACTS=${ARTIFACTS:-$top/artifacts}
mkdir -p "$ARTIFACTS" && ARTIFACTS=$(cd "$ARTIFACTS" && pwd -P) || exit 2
jobs=$(nproc 2>/dev/null || echo 2)
work=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-coverage.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
build=${BUILD:-$work/build}
mkdir -p "$build" && build=$(cd "$build" && pwd -P) || exit 2
export PYTHONDONTWRITEBYTECODE=1
umask 0
chmod 711 "$work"

. "$top/tests/packages.sh"
if [ -z "${NO_INSTALL:-}" ] && command -v apt-get >/dev/null; then
	install_debian autoconf automake gcc gcovr libc6-dev libcmocka-dev libevent-dev libinih-dev libssl-dev make openssl pkg-config \
		python3 python3-pytest python3-websockets >"$work/install.log" 2>&1 || tail -n 20 "$work/install.log"
fi

build_all() {
	[ -x "$top/configure" ] || (cd "$top" && ./autogen.sh) || return 1
	cd "$build" || return 1
	[ -f Makefile ] || "$top/configure" -q CC="${CC:-gcc}" --disable-hardening --without-seccomp \
		CFLAGS='-O0 -g --coverage -fprofile-update=atomic -fprofile-abs-path' || return 1
	make -s -j"$jobs" all && make -s -j"$jobs" check TESTS= || return 1
	find . -name '*.gcda' -delete
	find . -type d -exec chmod 777 {} +
}

# without_landlock COMMAND...: for which the kernel has no such call. Steps of the filter: which call, is it this one, no such call, go on.
hide='
import ctypes, os, struct, sys
CREATE_RULESET, NO_SUCH_CALL, ALLOW = 444, 0x00050000 | 38, 0x7fff0000
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, CREATE_RULESET), (0x06, 0, 0, NO_SUCH_CALL), (0x06, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
    print("cannot hide Landlock:", os.strerror(ctypes.get_errno()), file=sys.stderr)
os.execvp(sys.argv[1], sys.argv[1:])
'
without_landlock() { "$PYTHON" -c "$hide" "$@"; }

run_tests() { # of tests/integration; they mostly wait
	cd "$top/tests/integration" || return 1
	local list=("$@")
	[ ${#list[@]} -gt 0 ] || mapfile -t list < <(ls -S test_*.py)
	export SALLYPORT=$build/sallyport SALLYPORT_TEST_TIMEOUT=${SALLYPORT_TEST_TIMEOUT:-60} WORK=$work PYTHON
	printf '%s\0' "${list[@]}" | without_landlock xargs -0 -n 1 -P "${JOBS:-$((jobs + 2))}" sh -c '
		exec timeout --kill-after=10 900 "$PYTHON" -m pytest -p no:cacheprovider -q -m "not native" --basetemp="$WORK/tmp-$0" "$0" \
			>"$WORK/$0.log" 2>&1'
}

# The table, and the goals.
judge() {
	"$PYTHON" - "$1" "${GOAL_LINES:-90}" "${GOAL_BRANCHES:-80}" <<-'END'
		import json, sys
		with open(sys.argv[1], encoding="utf-8") as file:
		    report = json.load(file)
		print("   lines          branches")
		for row in [*report["files"], {"filename": "in total", **report}]:
		    share = [f"{100 * row[f'{what}_covered'] / max(row[f'{what}_total'], 1):5.1f} % of {row[f'{what}_total']:5}"
		             for what in ("line", "branch")]
		    print("  ".join(share), "", row["filename"])
		missed = 0
		for what, names, goal in (("line", "lines", float(sys.argv[2])), ("branch", "branches", float(sys.argv[3]))):
		    got = 100 * report[f"{what}_covered"] / report[f"{what}_total"]
		    missed += got < goal
		    print("ok     " if got >= goal else "FAILED ", f"{got:.1f} % of {names} are reached; the goal is {goal:g} %")
		print(2 - missed, "passed,", missed, "failed")
		sys.exit(missed > 0)
	END
}

if ! build_all >"$ARTIFACTS/coverage-build.log" 2>&1; then
	tail -n 20 "$ARTIFACTS/coverage-build.log"
	echo "0 passed, 1 failed"
	exit 1
fi
(cd "$build" && make -s -k -j"$jobs" check) >"$ARTIFACTS/coverage-check.log" 2>&1 || echo "make check had failures: see coverage-check.log"
run_tests "$@" || echo "tests/integration had failures: see coverage-tests.log"
cat "$work"/test_*.log >"$ARTIFACTS/coverage-tests.log"
tail -qn 1 "$work"/test_*.log

cd "$build" && gcovr -r "$top" --filter "$top/src/" --exclude-branches-by-pattern '.*\bassert\(.*' --gcov-ignore-parse-errors \
	--txt "$ARTIFACTS/coverage.txt" --json-summary "$work/summary.json" . >"$work/gcovr.log" 2>&1
if [ ! -s "$work/summary.json" ]; then
	cat "$work/gcovr.log"
	echo "0 passed, 1 failed"
	exit 1
fi
judge "$work/summary.json"
