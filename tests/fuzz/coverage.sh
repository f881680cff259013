#!/bin/sh
# What the corpora alone reach: coverage.sh [LINES [BRANCHES]] builds all targets with clang and counters, replays each corpus
# once, and prints, of src/proto, src/gate, src/handler and src/session, how many lines and branches ran. It fails when fewer than LINES
# (95) percent of the lines, or BRANCHES (90) percent of the branches, of src/proto, session.c, codec.c, flow.c, open.c and watch.c together did. Needs
# clang and llvm.

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
lines=${1:-95}
branches=${2:-90}
build=${BUILD:-$(mktemp -d)}
cleanup() {
	[ -n "$BUILD" ] || rm -rf "$build"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
mkdir -p "$build" || exit 1
[ -x "$root/configure" ] || (cd "$root" && ./autogen.sh >"$build/autogen.log" 2>&1) || exit 1
cd "$build" || exit 1
[ -f Makefile ] || "$root/configure" -q --disable-hardening CC="${CC:-clang}" \
	CFLAGS="-O0 -g -fprofile-instr-generate -fcoverage-mapping" || exit 1
targets=$(cd "$here" && echo fuzz_*.c | sed 's/\.c//g')
programs=
for target in $targets; do programs="$programs tests/fuzz/$target"; done
# shellcheck disable=SC2086
make -s -j2 $programs >make.log 2>&1 || {
	tail make.log
	exit 1
}

objects=
for target in $targets; do
	LLVM_PROFILE_FILE=$build/$target.profraw srcdir=$root "./tests/fuzz/$target" >"$target.log" 2>&1 || {
		tail "$target.log"
		exit 1
	}
	objects="$objects ${objects:+-object=}tests/fuzz/$target"
done
llvm-profdata merge -o all.profdata ./*.profraw || exit 1
# shellcheck disable=SC2086
llvm-cov export -summary-only -instr-profile=all.profdata $objects >coverage.json 2>llvm.log || {
	cat llvm.log
	exit 1
}
/usr/bin/python3 - "$lines" "$branches" <<'END'
import json, sys

WANTED = ("src/proto/", "src/session/session.c", "src/session/codec.c", "src/session/flow.c", "src/session/open.c", "src/session/watch.c")
SHOWN = ("src/proto/", "src/gate/", "src/handler/", "src/session/", "src/server/", "src/net/stream", "src/net/dial")


def short(path):
    return "src/" + path.split("/src/", 1)[1]


def percent(part):
    return 100.0 * part["covered"] / part["count"] if part["count"] else 100.0


measured = json.load(open("coverage.json"))["data"][0]["files"]
files = {short(f["filename"]): f["summary"] for f in measured if "/src/" in f["filename"]}
total = {kind: {"covered": 0, "count": 0} for kind in ("lines", "branches")}


def row(name, lines, branches):
    print(f"{name:32} {lines['count']:6} {percent(lines):6.1f}% {branches['count']:9} {percent(branches):6.1f}%")


print(f"{'file':32} {'lines':>6} {'ran':>7} {'branches':>9} {'ran':>7}")
for name, summary in sorted(files.items()):
    if not name.startswith(SHOWN) or not name.endswith(".c"):
        continue
    mark = "*" if name.startswith(WANTED) else " "
    row(f"{name:31}{mark}", summary["lines"], summary["branches"])
    for kind in total if mark == "*" else ():
        for key in total[kind]:
            total[kind][key] += summary[kind][key]
row("all with *", total["lines"], total["branches"])
reached = [percent(total["lines"]), percent(total["branches"])]
fine = reached[0] >= float(sys.argv[1]) and reached[1] >= float(sys.argv[2])
print("1 passed, 0 failed" if fine else "0 passed, 1 failed")
sys.exit(not fine)
END
