#!/bin/bash
# Every row of this folder, as root: tests/net/run.sh [--quick]. SALLYPORT is the binary. What mostly waits runs side by
# side, what measures runs alone after it; twelve minutes, two with --quick. The status is 0 only if every goal was met.
set -u

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 passed=0

judge() { # name, status
	cat "$work/$1"
	if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

declare -A waiting
for name in dead_peer lossy_path clock_steps; do
	/usr/bin/python3 "$here/$name.py" "$@" >"$work/$name" 2>&1 &
	waiting[$name]=$!
done
for name in "${!waiting[@]}"; do
	wait "${waiting[$name]}"
	judge "$name" $?
done
for name in stuck_dns slow_clients memory_ceiling; do
	/usr/bin/python3 "$here/$name.py" "$@" >"$work/$name" 2>&1
	judge "$name" $?
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
