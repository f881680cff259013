#!/usr/bin/env bash
# Installs what is needed, builds in every way that counts, and runs all tests; the last line says how many passed and failed.
#
#     tests/run.sh          everything: gcc and clang with ASan and UBSan, gcc with TSan, coverage, memcheck, analysis, fuzzing,
#                           the quick forms of the long measurements, hardening, distcheck, install
#     tests/run.sh quick    gcc with ASan and UBSan: make check and tests/integration
#
# Most of it is a queue of jobs, of which two more than there are processors run at a time, since many of them mostly wait. Where
# the time went is in times.txt of the artifacts.
#
# It works from any directory, as root or with sudo, and leaves the tree as it was but for artifacts/.
#
#     BUILD=DIR      where to build (default: a new directory under TMPDIR or /tmp, removed at the end)
#     ARTIFACTS=DIR  logs, reports and screenshots (default: artifacts/ in the tree)
#     NO_INSTALL=1   install nothing
set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
mode=${1:-all}
case $mode in
all | quick) ;;
*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

PYTHON=/usr/bin/python3
jobs=$(nproc 2>/dev/null || echo 2)
if [ -n "${BUILD:-}" ]; then
	mkdir -p "$BUILD" && work=$(cd "$BUILD" && pwd -P) || exit 2
	own_work=
else
	work=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-build.XXXXXX") || exit 2
	chmod 711 "$work" # whoever a gateway becomes has to come to what it serves
	own_work=yes
fi
ARTIFACTS=${ARTIFACTS:-$top/artifacts}
mkdir -p "$ARTIFACTS" && ARTIFACTS=$(cd "$ARTIFACTS" && pwd -P) || exit 2
export ARTIFACTS PYTHONDONTWRITEBYTECODE=1
export SALLYPORT_TEST_TIMEOUT=${SALLYPORT_TEST_TIMEOUT:-60} # several things run at a time; only a failure takes so long
unset SALLYPORT MAKEFLAGS MAKELEVEL
src=$work/src
results=$work/results
: >"$results"

declare -A running=() # jobs under way: process group to name
finish() {
	local group
	for group in "${!running[@]}"; do kill -- "-$group" 2>/dev/null; done
	[ -z "$own_work" ] || { chmod -R u+w "$work"; rm -rf "$work"; } 2>/dev/null
}
trap finish EXIT
trap 'exit 130' INT TERM

# --- counting: a line of $results is `passed failed what`, so that lanes in the background can count, too -----------------

section() { printf '\n=== %s\n' "$*"; }
count() { printf '%s\n' "$*" >>"$results"; }
ok() { count 1 0 "$1"; echo "ok      $1"; }
not_ok() { count 0 1 "$1"; echo "FAILED  $1"; }
check() { # check WHAT COMMAND...: one test
	local what=$1
	shift
	if "$@"; then ok "$what"; else not_ok "$what"; fi
}
logged() { # logged NAME COMMAND...: output into a file of artifacts, its end to the screen if the command fails
	local log=$ARTIFACTS/$1.log
	shift
	"$@" >"$log" 2>&1 && return
	echo "--- the end of $log:"
	tail -n 40 "$log"
	return 1
}

# --- what is needed -------------------------------------------------------------------------------------------------------

. "$top/tests/packages.sh"

install_needs() {
	if command -v apt-get >/dev/null; then
		local packages=(autoconf automake binutils ca-certificates clang gcc git libc6-dev libcmocka-dev libevent-dev libinih-dev libseccomp-dev
			libssl-dev make openssl pkg-config python3 python3-pytest python3-websockets tar util-linux xz-utils)
		if [ "$mode" = all ]; then
			packages+=(clang-14 clang-format-14 clang-tidy-14 clang-tools-14 cppcheck gcovr haproxy libc6-dbg valgrind)
			mapfile -t -O ${#packages[@]} packages <"$top/tests/browser/packages.txt"
		fi
		install_debian "${packages[@]}"
	elif command -v dnf >/dev/null; then
		local packages=(autoconf automake binutils clang compiler-rt gcc git inih-devel libasan libcmocka-devel libevent-devel libseccomp-devel libtsan
			libubsan make openssl openssl-devel pkgconf-pkg-config python3 python3-pytest python3-websockets tar util-linux xz)
		[ "$mode" = quick ] || packages+=(chromium nodejs nodejs-npm novnc openssh-clients openssh-server tigervnc-server-minimal
			xclock xterm)
		install_fedora "${packages[@]}"
	else
		echo "neither apt-get nor dnf: going on with what is there" >&2
	fi
}

# --- building -------------------------------------------------------------------------------------------------------------

copy_tree() { # what belongs to the tree, not what was built in it
	mkdir -p "$src" && cd "$top" || return 1
	if git -c safe.directory='*' rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git -c safe.directory='*' ls-files -z --cached --others --exclude-standard
	else
		find . \( -name .git -o -name node_modules -o -name artifacts \) -prune -o \( -type f -o -type l \) -print0
	fi | tar --null --ignore-failed-read -T - -cf - 2>/dev/null | tar -C "$src" -xf - && cd "$src" && ./autogen.sh
}

build() { # build NAME CC [configure's arguments]
	local name=$1 cc=$2
	shift 2
	mkdir -p "$work/$name" && cd "$work/$name" &&
		"$src/configure" -q CC="$cc" "$@" && make -j"$jobs" all && make -j"$jobs" check TESTS=
}

build_counted() {
	[ -x "$src/configure" ] || { not_ok "build $1: there is no configure"; return; }
	check "build $1" logged "build-$1" build "$@"
}

count_checks() { # the cases of cmocka's programs, and the other tests of make check, by the files they left
	local name=$1 trs log result good bad
	while read -r trs; do
		log=${trs%.trs}.log
		result=$(sed -n 's/^:test-result: *//p' "$trs" | head -n 1)
		good=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
		bad=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
		case $result in
		PASS) [ "$good" -gt 0 ] || good=1 ;;
		SKIP) continue ;;
		*)
			[ "$bad" -gt 0 ] || bad=1
			cp "$log" "$ARTIFACTS/check-$name-$(basename "$log")"
			echo "FAILED  $name: ${trs%.trs}"
			tail -n 30 "$log"
			;;
		esac
		count "$good" "$bad" "check $name ${trs%.trs}"
	done < <(cd "$work/$name" && find . -name '*.trs' | sort)
}

make_check() {
	local name=$1
	cd "$work/$name" || { not_ok "check $name"; return; }
	make -k check >"$ARTIFACTS/check-$name.log" 2>&1
	if [ -z "$(find . -name '*.trs' -print -quit)" ]; then
		tail -n 20 "$ARTIFACTS/check-$name.log"
		not_ok "check $name"
		return
	fi
	count_checks "$name"
	sed -n 's/^# \(TOTAL\|PASS\|FAIL\|ERROR\): */\1 /p' "$ARTIFACTS/check-$name.log" | tr '\n' ' '
	echo
}

# --- the outside-in tests ---------------------------------------------------------------------------------------------------

# Sanitizers of this age do not get along with the widest address space randomisation.
steady=()
setarch -R true 2>/dev/null && steady=(setarch -R)

count_report() { # count_report NAME REPORT: of pytest, in JUnit's form
	"$PYTHON" - "$1" "$2" "$results" <<-'END'
		import sys, xml.etree.ElementTree as tree
		name, report, results = sys.argv[1:]
		good, bad = 0, []
		for case in tree.parse(report).iter("testcase"):
		    if case.find("failure") is not None or case.find("error") is not None:
		        bad.append(f"{case.get('classname')}::{case.get('name')}")
		    elif case.find("skipped") is None:
		        good += 1
		bad = list(dict.fromkeys(bad))
		with open(results, "a") as file:
		    file.write(f"{good} {len(bad)} {name}\n")
		for case in bad[:40]:
		    print("FAILED ", name, case)
		if len(bad) > 40:
		    print("        and", len(bad) - 40, "more")
	END
}

run_pytest() { # run_pytest NAME BUILD [pytest's arguments]
	local name=$1 binary=$work/$2/sallyport report=$ARTIFACTS/$1.xml
	shift 2
	rm -f "$report"
	[ -x "$binary" ] || { not_ok "$name: there is no binary"; return; }
	cd "$src/tests/integration" || return
	SALLYPORT=$binary timeout --kill-after=10 "${PYTEST_LIMIT:-900}" ${steady[@]+"${steady[@]}"} "$PYTHON" -m pytest \
		-p no:cacheprovider -q -o faulthandler_timeout=300 --junitxml="$report" -o junit_family=xunit1 \
		--basetemp="$work/tmp-$name" "$@" >"$ARTIFACTS/$name.log" 2>&1
	local status=$?
	if [ "$status" = 5 ]; then # no test has this mark
		echo "no tests"
	elif [ -s "$report" ]; then
		count_report "$name" "$report"
		[ "$status" = 0 ] || grep -E '^(E  |[a-z_/.]+\.py:[0-9]+: )' "$ARTIFACTS/$name.log" | cut -c 1-300 | head -n 40
		tail -n 1 "$ARTIFACTS/$name.log"
	else
		tail -n 30 "$ARTIFACTS/$name.log"
		not_ok "$name (ended with $status)"
	fi
	rm -rf "$work/tmp-$name"
}

# A script that says at its end `N passed, M failed` counts as so many tests, any other as one.
run_script() { # run_script NAME LIMIT COMMAND...
	local name=$1 limit=$2 log=$ARTIFACTS/$1.log status last
	shift 2
	(cd "$src" && timeout --kill-after=30 "$limit" "$@") >"$log" 2>&1
	status=$?
	last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
	if [ -n "$last" ]; then
		count "$(echo "$last" | sed 's/ passed, / /; s/ failed//') $name"
		echo "$last"
	fi
	if [ "$status" != 0 ]; then
		tail -n 40 "$log"
		case $last in *" 0 failed" | "") not_ok "$name (ended with $status)" ;; esac
	elif [ -z "$last" ]; then
		tail -n 8 "$log"
		ok "$name"
	fi
}

# --- the queue: lines `name | command`, in this shell's words; those that take longest come first ---------------------------------

# The tests that take longest, for they are to begin first; then all others.
integration_files() {
	cd "$src/tests/integration" || return
	local first=(test_relay.py test_strict.py test_at_once.py test_profile.py)
	printf '%s\n' "${first[@]}" test_*.py | awk '!seen[$0]++' | while read -r file; do [ -e "$file" ] && echo "$file"; done
}

integration_jobs() { # integration_jobs BUILD [pytest's arguments]
	local build=$1 file
	shift
	integration_files | while read -r file; do
		echo "integration-$build-${file%.py} | run_pytest integration-$build-${file%.py} $build $file $*"
	done
}

# What does not take long, or has a form that does not: name | seconds it may take | command. The gateway is $SALLYPORT.
quick_checks() {
	cat <<-'END'
		coverage | 900 | env JOBS=2 tests/coverage.sh
		valgrind | 1200 | tests/valgrind.sh
		analyse  | 900 | tests/analyse.sh
		soak     | 300 | tests/soak/soak.py -n 20000 -s 4
		reload   | 300 | tests/soak/reload.py -n 5000 -r 20
		restart  | 300 | tests/soak/restart.py -r 5 -k 2
		size     | 100 | tests/size.sh
		fault    | 300 | env SALLYPORT=$work/asan/sallyport tests/fault/run.py --quick 60 --seed 4
	END
}

LONG='^(valgrind|analyse) '

quick_jobs() {
	local name limit command
	quick_checks | while IFS='|' read -r name limit command; do
		echo "${name// /} | SALLYPORT=$work/plain/sallyport run_script ${name// /} ${limit// /} $command"
	done
}

job_start() { # job_start NAME COMMAND
	set -m
	(
		set +m
		started=$SECONDS
		eval "$2"
		printf '%5d s  %s\n' $((SECONDS - started)) "$1" >>"$ARTIFACTS/times.txt"
	) >"$work/job-$1.out" 2>&1 </dev/null &
	running[$!]=$1
	set +m
}

job_wait() { # for any one of them, and says what it said
	local group
	wait -n -p group "${!running[@]}"
	section "${running[$group]}"
	cat "$work/job-${running[$group]}.out"
	unset "running[$group]"
}

run_queue() { # run_queue AT_ONCE, with the lines on standard input
	local name command
	while IFS='|' read -r name command; do
		while [ ${#running[@]} -ge "$1" ]; do job_wait; done
		job_start "${name// /}" "$command"
	done
	while [ ${#running[@]} -gt 0 ]; do job_wait; done
}

# --- the binary that people get ---------------------------------------------------------------------------------------------

has() { grep -q -e "$@"; }
hasnt() { ! grep -q -E -e "$@"; }

check_hardening() {
	local binary=$work/plain/sallyport dynamic segments symbols
	[ -x "$binary" ] || { not_ok "hardening: no binary"; return; }
	dynamic=$(readelf -dW "$binary") segments=$(readelf -lW "$binary") symbols=$(nm -D "$binary")
	check "hardening: position-independent" has 'Flags:.*PIE' <<<"$dynamic"
	check "hardening: binds all symbols at start" has 'BIND_NOW\|Flags:.*NOW' <<<"$dynamic"
	check "hardening: relocations read-only" has GNU_RELRO <<<"$segments"
	check "hardening: no executable stack" has 'GNU_STACK.* RW  *0x' <<<"$segments"
	check "hardening: no segment writable and executable" hasnt ' RWE ' <<<"$segments"
	check "hardening: no search path of libraries" hasnt 'R(UN)?PATH' <<<"$dynamic"
	check "hardening: stack protector" has __stack_chk_fail <<<"$symbols"
	check "hardening: fortified functions" has '_chk@' <<<"$symbols"
	check "linkage: no parser of libevent's" hasnt 'libevent_extra|libevent-2|libevent\.so' <<<"$dynamic"
	check "linkage: no call to evhttp, evdns, evrpc, evtag" hasnt ' (evhttp|evdns|evrpc|evtag)_' <<<"$symbols"
}

check_install() {
	local root=$work/root
	cd "$work/plain" || { not_ok "make install"; return; }
	check "make install" logged install make install DESTDIR="$root"
	check "installed binary runs" "$root/usr/local/bin/sallyport" --version
	check "installed configuration is there" test -s "$root/usr/local/etc/sallyport/sallyport.conf"
	check "make uninstall" logged uninstall make uninstall DESTDIR="$root"
	check "nothing is left behind" test -z "$(find "$root" ! -type d)"
}

distcheck() { cd "$work/plain" && make distcheck DISTCHECK_CONFIGURE_FLAGS=--enable-werror; }

# --- all of it --------------------------------------------------------------------------------------------------------------

build_jobs() {
	cat <<-'END'
		build-asan  | build_counted asan gcc --enable-sanitizers --enable-werror CFLAGS='-O1 -g'
	END
	[ "$mode" = quick ] || cat <<-'END'
		build-clang | build_counted clang clang --enable-sanitizers --enable-werror CFLAGS='-O1 -g'
		build-tsan  | build_counted tsan gcc --enable-sanitizers=thread --enable-werror CFLAGS='-O1 -g'
		build-plain | build_counted plain gcc --enable-werror
	END
}

test_jobs() {
	# It takes as long in any case, with what the others leave. The seed is fixed: what a longer walk finds is for who takes it.
	[ "$mode" = quick ] || echo "fuzz | run_script fuzz 900 env SEED=1 tests/fuzz/run.sh 30"
	[ "$mode" != all ] || quick_jobs | grep -E "$LONG" # first, or the rest of the machine waits for them at the end
	integration_jobs asan
	echo "check-asan | make_check asan"
	[ "$mode" = all ] || return
	integration_jobs clang
	echo "check-clang | make_check clang"
	integration_jobs tsan -m '"not slow"' | grep -v test_strict # strictness needs no second thread
	integration_jobs plain -m '"not slow and not native"' | grep -v test_strict # in the sandbox, which sanitizers do not bear
	echo "browser | SALLYPORT=$work/asan/sallyport run_script browser 900 bash tests/browser/run.sh"
	echo "distcheck | check 'make distcheck' logged distcheck distcheck"
	quick_jobs | grep -vE "$LONG"
}

section "what is needed"
if [ -z "${NO_INSTALL:-}" ]; then
	logged install-needs install_needs || echo "not everything could be installed: going on with what is there"
fi
export NO_INSTALL=1 # for the scripts below

section "sources: a copy of the tree, and ./configure"
check "autogen.sh" logged autogen copy_tree
cd "$work" || exit 2
: >"$ARTIFACTS/times.txt"

run_queue "$jobs" < <(build_jobs)
run_queue $((jobs + 2)) < <(test_jobs)

if [ "$mode" = all ]; then
	section "tests/integration: as installed, what measures memory and time"
	run_pytest integration-native plain -m native .

	section "quick start"
	check "packaging/quickstart.sh --check" logged quickstart \
		env SALLYPORT="$work/plain/sallyport" bash "$src/packaging/quickstart.sh" --check

	section "hardening of a normal build"
	check_hardening

	section "make install"
	check_install
fi

section "result"
cd /
awk '$2 > 0 { sub(/^[0-9]+ [0-9]+ /, ""); print "FAILED  " $0 }' "$results"
awk '{ good += $1; bad += $2 } END { printf "%d passed, %d failed\n", good, bad; exit bad > 0 || good == 0 }' "$results"
