#!/usr/bin/env bash
# Static analysis of src/. Each tool is one test, which a single finding fails; the last line says how many passed and failed.
#
#     tests/analyse.sh             all of them
#     tests/analyse.sh TOOL...     of gcc (-fanalyzer), clang-tidy (.clang-tidy says what it looks for), cppcheck, scan-build,
#                                  clang-format (.clang-format says how the sources are laid out)
#
# It needs no build, works from any directory, and leaves what the tools said in artifacts/.
#
#     ARTIFACTS=DIR  where to leave it instead
#     NO_INSTALL=1   install nothing
set -uo pipefail

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}" >&2
	exit 2
}

known=(gcc clang-tidy cppcheck scan-build clang-format)
tools=("$@")
[ $# -gt 0 ] || tools=("${known[@]}")
for tool in "${tools[@]}"; do
	case " ${known[*]} " in
	*" $tool "*) ;;
	*) usage ;;
	esac
done

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
ARTIFACTS=${ARTIFACTS:-$top/artifacts}
mkdir -p "$ARTIFACTS" && ARTIFACTS=$(cd "$ARTIFACTS" && pwd -P) || exit 2
jobs=$(nproc 2>/dev/null || echo 2)
work=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-analyse.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# --- what is needed -------------------------------------------------------------------------------------------------------

. "$top/tests/packages.sh"

# The versions are named because the next one has other opinions; its findings are worth having, but not worth a red build.
install_needs() {
	if ! command -v apt-get >/dev/null; then
		echo "no apt-get: going on with what is there" >&2
		return
	fi
	install_debian clang-14 clang-format-14 clang-tidy-14 clang-tools-14 cppcheck findutils gcc-12 libc6-dev libevent-dev libinih-dev libseccomp-dev libssl-dev \
		pkg-config
}

newest() { # newest NAME VERSION: this version of a program if it is there, else the one there is
	if command -v "$1-$2" >/dev/null; then echo "$1-$2"; else echo "$1"; fi
}

# --- the tools: each ends with 0 only if it ran over every file and found nothing --------------------------------------------

each_source() { # each_source COMMAND...: with each file at the end, on all processors
	printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$jobs" "$@"
}

run_gcc() {
	each_source "$(newest gcc 12)" "${flags[@]}" -O1 -Wall -Wextra -Wno-unused-parameter -fanalyzer -Werror -c -o /dev/null
}

run_clang_tidy() {
	printf '%s\0' "${sources[@]}" |
		xargs -0 -I '{}' -P "$jobs" "$(newest clang-tidy 14)" --quiet --warnings-as-errors='*' '{}' -- "${flags[@]}"
}

# What it is told to pass over, one reason each:
#   getpwnamCalled, getpwuidCalled, getgrnamCalled   only the main thread calls them
#   readdirCalled                                    each stream is one thread's; readdir_r is obsolete
#   missingReturn of codec.def                       its rows are cases, after which the function returns
run_cppcheck() {
	cppcheck --quiet --enable=warning,performance,portability --std=c11 --platform=unix64 --library=posix,gnu \
		--suppress=getpwnamCalled --suppress=getpwuidCalled --suppress=getgrnamCalled --suppress=readdirCalled \
		--suppress=missingReturn:src/session/codec.def --error-exitcode=1 -j "$jobs" -D_GNU_SOURCE -Isrc src
}

# shellcheck disable=SC2016 # CC is what scan-build sets for the commands that it runs
run_scan_build() {
	"$(newest scan-build 14)" --use-cc="$(newest clang 14)" --status-bugs -o "$work/scan-build" \
		-enable-checker optin.portability.UnixAPI -enable-checker security.FloatLoopCounter \
		-enable-checker security.insecureAPI.strcpy -enable-checker security.insecureAPI.rand \
		bash -c 'jobs=$1; shift; xargs -0 -n 1 -P "$jobs" "$CC" "$@" -c -o /dev/null' bash "$jobs" "${flags[@]}" \
		< <(printf '%s\0' "${sources[@]}")
}

run_clang_format() {
	find src -name '*.[ch]' -print0 | xargs -0 "$(newest clang-format 14)" --dry-run --Werror
}

# --- all of it --------------------------------------------------------------------------------------------------------------

if [ -z "${NO_INSTALL:-}" ]; then
	install_needs >"$work/install.log" 2>&1 || { tail -n 20 "$work/install.log"; echo "going on with what is there"; }
fi

cd "$top" || exit 2
mapfile -t sources < <(find src -name '*.c' | LC_ALL=C sort)
read -ra flags <<<"-std=c11 -D_GNU_SOURCE -DHAVE_LIBSECCOMP=1 -Isrc -pthread $(pkg-config --cflags libevent_core libevent_openssl openssl inih libseccomp)"

good=0 bad=0
for tool in "${tools[@]}"; do
	log=$ARTIFACTS/analyse-$tool.log
	before=$SECONDS
	if "run_${tool//-/_}" >"$log" 2>&1; then
		good=$((good + 1))
		echo "ok      $tool: ${#sources[@]} files in $((SECONDS - before)) s"
	else
		bad=$((bad + 1))
		grep -v '^[0-9]* warnings\? generated\.$' "$log" # the many of system headers, which are not shown
		echo "FAILED  $tool"
	fi
done
echo "$good passed, $bad failed"
[ "$bad" = 0 ]
