#!/usr/bin/env bash
# How much code has to be trusted, and that it has none of what cannot be used safely. The last line says how many passed and failed.
#
#     tests/size.sh
#
# Lines are counted without comments and blank ones (by the preprocessor, which drops them and expands nothing).
set -uo pipefail

TRUSTED='proto net gate handler session'  # what handles bytes from outside
GOAL=6000                 # what was hoped for
LIMIT=9700                # what it may not outgrow unnoticed
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

total=0
for layer in base proto net sys gate handler config session server; do
	mapfile -t list < <(files "$layer")
	lines=$(code "${list[@]}" | wc -l)
	printf '        %-6s %6d lines in %d files\n' "$layer" "$lines" "${#list[@]}"
	case " $TRUSTED " in *" $layer "*) total=$((total + lines)) ;; esac
done
[ "$total" -gt 0 ] && [ "$total" -le "$LIMIT" ]
verdict $? "$TRUSTED: $total lines (the goal is $GOAL), at most $LIMIT"

mapfile -t list < <(files .)
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
