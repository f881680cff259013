#!/bin/sh
# Fuzzes: run.sh [SECONDS] [TARGET...], 30 seconds each, two at a time, all targets unless some are named. Builds them with
# clang, AddressSanitizer and UndefinedBehaviorSanitizer in BUILD (a new directory, removed at the end, unless it is set), prints
# a line a target and fails on a crash, a time-out or a leak; the input that did it is left in ARTIFACTS (./fuzz-artifacts).
# SEED=N repeats the choices of another run, for as long as the machine is as quick; the default is a new one each time.
# GROW=1 adds what is new to the corpus, MINIMISE=1 merges the corpus into the smallest that reaches as many edges
# instead of fuzzing; what failed once stays.

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
seconds=30
case $1 in
[0-9]*)
	seconds=$1
	shift
	;;
esac
[ $# -gt 0 ] || set -- $(cd "$here" && echo fuzz_*.c | sed 's/\.c//g')

build=${BUILD:-$(mktemp -d)}
artifacts=${ARTIFACTS:-$PWD/fuzz-artifacts}
mkdir -p "$build" "$artifacts" || exit 1
build=$(cd "$build" && pwd)
artifacts=$(cd "$artifacts" && pwd)
running=
cleanup() {
	for pid in $running; do kill "$pid" 2>/dev/null; done
	wait
	[ -n "$BUILD" ] || rm -rf "$build"
	rmdir "$artifacts" 2>/dev/null
}
trap cleanup EXIT
trap 'exit 130' INT TERM

build_targets() {
	[ -x "$root/configure" ] || (cd "$root" && ./autogen.sh >"$build/autogen.log" 2>&1) || return 1
	cd "$build" || return 1
	[ -f Makefile ] || "$root/configure" -q --enable-sanitizers --enable-werror --disable-hardening CC="${CC:-clang}" \
		CFLAGS="-O1 -g -fsanitize=fuzzer-no-link" || return 1
	programs=
	for target; do programs="$programs tests/fuzz/$target"; done
	# shellcheck disable=SC2086
	make -s -j2 CPPFLAGS=-DLIBFUZZER LDFLAGS=-fsanitize=fuzzer $programs
}

# One target: its directory keeps the log, what was found, and what was learnt.
fuzz() {
	work=$build/fuzz/$1
	new=$work/new
	[ -z "$GROW" ] || new=$here/corpus/$1
	dict=
	[ ! -f "$here/dict/$1" ] || dict=-dict=$here/dict/$1
	rm -rf "$work"
	mkdir -p "$new" "$work/tmp" "$here/corpus/$1"
	TMPDIR=$work/tmp "$build/tests/fuzz/$1" ${dict:+"$dict"} -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 \
		-seed="${SEED:-0}" -print_final_stats=1 -artifact_prefix="$artifacts/$1-" "$new" "$here/corpus/$1" >"$work/log" 2>&1
	echo $? >"$work/status"
}

minimise() {
	work=$build/fuzz/$1
	rm -rf "$work"
	mkdir -p "$work/tmp" "$work/small"
	TMPDIR=$work/tmp "$build/tests/fuzz/$1" -set_cover_merge=1 -use_counters=0 -max_len=16384 "$work/small" \
		"$here/corpus/$1" >"$work/log" 2>&1 || return 1
	find "$here/corpus/$1" -name '*-*' -exec cp {} "$work/small" ';' # what once failed stays: its name has a hyphen
	rm -rf "${here:?}/corpus/$1"
	cp -r "$work/small" "$here/corpus/$1"
}

# fuzz_ws  1234567 executions, 321 edges, 456 features: fine
report() {
	awk -v target="$1" -v status="$(cat "$build/fuzz/$1/status")" '
	/ cov: / {
		for (i = 1; i < NF; i++) {
			if ($i == "cov:") edges = $(i + 1)
			if ($i == "ft:") features = $(i + 1)
		}
	}
	/^stat::number_of_executed_units/ { executions = $2 }
	/CHECK failed|ERROR: |SUMMARY: |runtime error/ && cause == "" { cause = $0 }
	END {
		printf "%-16s %9d executions, %5d edges, %5d features: %s\n", target, executions, edges, features,
			status == 0 ? "fine" : "FAILED (" status ") " cause
		exit status != 0
	}' "$build/fuzz/$1/log"
}

build_targets "$@" || exit 1
failed=0
if [ -n "$MINIMISE" ]; then
	for target; do minimise "$target" || failed=1; done
	exit $failed
fi
while [ $# -gt 0 ]; do
	first=$1 second=$2
	shift
	[ $# -eq 0 ] || shift
	fuzz "$first" &
	running=$!
	[ -z "$second" ] || { fuzz "$second" & running="$running $!"; }
	wait
	running=
	for target in $first $second; do report "$target" || failed=1; done
done
exit $failed
