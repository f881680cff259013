#!/bin/sh
# Every patch of mutants/ still applies to the sources: who changes a line that a planted bug is about puts the bug into the
# new one.

root=$(cd "$(dirname "$0")/../.." && pwd)
failed=0

command -v patch >/dev/null || exit 77
for mutant in "$root"/tests/fuzz/mutants/*.patch; do
	patch -d "$root" -p1 -f -s -o - --dry-run <"$mutant" >/dev/null || {
		echo "$mutant does not apply"
		failed=1
	}
done
exit $failed
