#!/bin/sh
# Planted bugs: mutants.sh [SECONDS] [MUTANT...] puts each patch of mutants/ into a copy of the tree, builds the target that
# it names (`Found by:`) with clang, AddressSanitizer and UndefinedBehaviorSanitizer, and says how it was found: by how many
# inputs of the corpus (that is what `make check` would see), and after how long by fuzzing from those inputs that do not find
# it, so that it is the target that is measured and not the luck of the corpus. What is not found in SECONDS (600) fails.

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
seconds=600

"$here/mutants_apply.sh" || exit 1
case $1 in
[0-9]*)
	seconds=$1
	shift
	;;
esac
[ $# -gt 0 ] || set -- $(cd "$here/mutants" && ls | sed 's/\.patch$//')

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/build" "$work/tmp"
[ -x "$root/configure" ] || (cd "$root" && ./autogen.sh >"$work/log" 2>&1) || exit 1
(cd "$root" && tar cf - --exclude=.git --exclude=node_modules .) | (mkdir "$work/tree" && cd "$work/tree" && tar xf -)
cd "$work/build" || exit 1
../tree/configure -q --enable-sanitizers --disable-hardening CC="${CC:-clang}" CFLAGS="-O1 -g -fsanitize=fuzzer-no-link" ||
	exit 1

build() {
	make -s -j2 CPPFLAGS=-DLIBFUZZER LDFLAGS=-fsanitize=fuzzer "tests/fuzz/$1" >"$work/log" 2>&1 || {
		cat "$work/log"
		return 1
	}
}

# fuzz TARGET CORPUS SECONDS: 0 when it found something, which libFuzzer then keeps as an input.
fuzz() {
	rm -rf "$work/found"
	mkdir "$work/found"
	dict=
	[ ! -f "$here/dict/$1" ] || dict=-dict=$here/dict/$1
	TMPDIR=$work/tmp timeout $(($3 + 60)) "tests/fuzz/$1" ${dict:+"$dict"} -max_total_time="$3" -timeout=10 -rss_limit_mb=1024 \
		-max_len=16384 -artifact_prefix="$work/found/" "$work/new" "$2" >"$work/log" 2>&1 && return 1
	rmdir "$work/found" 2>/dev/null || return 0
	cat "$work/log" # that is no finding: it could not even begin
	exit 1
}

# The inputs that do not find it by themselves.
keep_blind() {
	mkdir -p "$work/blind"
	for input in "$root/tests/fuzz/corpus/$1"/*; do
		TMPDIR=$work/tmp timeout 60 "tests/fuzz/$1" "$input" >"$work/log" 2>&1 && cp "$input" "$work/blind"
	done
}

found=0 missed=0
for mutant; do
	patch=$here/mutants/$mutant.patch
	target=$(sed -n 's/^Found by: //p' "$patch")
	patch -d "$work/tree" -p1 -f -s <"$patch" || exit 1
	build "$target" || exit 1
	rm -rf "$work/new" "$work/blind"
	mkdir "$work/new"
	keep_blind "$target"
	all=$(find "$root/tests/fuzz/corpus/$target" -type f | wc -l)
	kept=$(find "$work/blind" -type f | wc -l)
	begun=$(date +%s)
	if fuzz "$target" "$work/blind" "$seconds"; then
		result="found by fuzzing in $(($(date +%s) - begun)) s"
		found=$((found + 1))
	else
		result="NOT FOUND in $seconds s"
		missed=$((missed + 1))
	fi
	printf '%-20s %-18s replay: %d of %d inputs; %s\n' "$mutant" "$target" $((all - kept)) "$all" "$result"
	patch -d "$work/tree" -p1 -f -s -R <"$patch" || exit 1
done
echo "$found passed, $missed failed"
[ "$missed" -eq 0 ]
