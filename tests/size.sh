#!/usr/bin/env bash
# How much code has to be trusted, that it can be read in one look, and that it has none of what cannot be used safely. The last
# line says how many passed and failed.
#
#     tests/size.sh
#
# Lines are counted without comments and blank ones (by the preprocessor, which drops them and expands nothing).
set -uo pipefail

TRUSTED='proto net gate handler session' # the folders of what parses or relays the bytes of strangers
# Their files that see none of these bytes: what is read and made at load time, and what controls and counts.
APART='net/bind net/cidr net/tls_context net/tls_identity gate/token_files
	net/mailbox net/offload net/resolve net/resolved gate/admission gate/sources gate/tally session/refusal_log'
GOAL=6500                                # what was hoped for
LIMIT=6800                               # what it may not outgrow unnoticed
FORBIDDEN='strcpy|stpcpy|strcat|sprintf|vsprintf|atoi|atol|atoll|gets|alloca|strtok|scanf|sscanf'

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$top/src" || exit 2
CC=${CC:-gcc}
good=0 bad=0
verdict() { # verdict STATUS WHAT
	if [ "$1" = 0 ]; then good=$((good + 1)) && echo "ok      $2"; else bad=$((bad + 1)) && echo "FAILED  $2"; fi
}

code() { # code FILE...: without comments and blank lines
	local file
	for file in "$@"; do
		"$CC" -fpreprocessed -dD -E -P -x c "$file" 2>/dev/null
	done
}

files() { # files FOLDER...
	find "$@" -name '*.[ch]' -o -name '*.def' | LC_ALL=C sort
}

of_files() { # of_files FILE...: the lines of all
	code "$@" | wc -l
}

total=0
for layer in base proto net sys gate handler config session server; do
	mapfile -t list < <(files "$layer")
	lines=$(of_files "${list[@]}")
	printf '        %-8s %6d lines in %d files\n' "$layer" "$lines" "${#list[@]}"
	case " $TRUSTED " in *" $layer "*) total=$((total + lines)) ;; esac
done
apart=0
for name in $APART; do
	mapfile -t list < <(find . -path "./$name.[ch]")
	[ "${#list[@]}" -gt 0 ] || verdict 1 "$name is there to be counted apart"
	apart=$((apart + $(of_files "${list[@]}")))
done
total=$((total - apart))
printf '        %-8s %6d lines, load time and control, are not of what is trusted\n' apart "$apart"
[ "$total" -gt 0 ] && [ "$total" -le "$LIMIT" ]
verdict $? "$TRUSTED: $total lines see the bytes of strangers (the goal is $GOAL), at most $LIMIT"

mapfile -t list < <(files .)
long=$(wc -l "${list[@]}" | awk '$2 != "total" && $1 > 450 { print $2 ": " $1 " lines" }')
[ -z "$long" ] || echo "$long"
[ -z "$long" ]
verdict $? "no file over 450 lines"

# A function is from its name's line to the brace that closes it, both at the beginning of a line.
mapfile -t sources < <(find . -name '*.c')
awk '/^[a-z].*[(]/ { from = FNR } /^\}$/ { print FNR - from + 1 }' "${sources[@]}" | sort -n | awk '
	{ lines[NR] = $1; short += $1 <= 40 }
	END {
		median = lines[int((NR + 1) / 2)]
		printf "        %d functions: median %d lines, longest %d, %.1f %% at most 40\n", NR, median, lines[NR], 100 * short / NR
		exit !(NR > 0 && median <= 12 && short >= 0.97 * NR)
	}'
verdict $? "functions have 12 lines or fewer, and hardly any more than 40"

found=$(for file in "${list[@]}"; do code "$file" | grep -nE "(^|[^A-Za-z0-9_])($FORBIDDEN)[[:space:]]*\(" | sed "s|^|$file: |"; done)
[ -z "$found" ] || echo "$found"
[ -z "$found" ]
verdict $? "none of ${FORBIDDEN//|/, }"

# shellcheck disable=SC2046 # the flags are words
find . -name '*.c' -exec "$CC" -std=c11 -D_GNU_SOURCE -I. $(pkg-config --cflags libevent_core libevent_openssl openssl inih) \
	-fsyntax-only -Wvla -Werror {} +
verdict $? "no array of variable length"

echo "$good passed, $bad failed"
[ "$bad" = 0 ]
