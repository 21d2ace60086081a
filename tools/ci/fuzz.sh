#!/usr/bin/env bash
# fuzz.sh TIME   run every fuzz target of the module for TIME each; the targets are found, not listed.
set -euo pipefail
time=$1 n=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT

fuzz() { go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x "$1" 2>&1 | tee "$said"; }

# go test takes the end of the time for a failure when it comes at the wrong moment, and then has no input to show
only_late() { grep -q '^ *context deadline exceeded$' "$said" && ! grep -q 'Failing input written' "$said"; }

for pkg in $(go list ./...); do
  for f in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
    echo "fuzz $pkg $f"
    # an if, not "||": the shell's -e looks away from a command that fails inside of a list
    if ! fuzz "$pkg" "$f"; then
      only_late || exit 1
      fuzz "$pkg" "$f"
    fi
    n=$((n + 1))
  done
done
[ "$n" -gt 0 ] || { echo "no fuzz target found" >&2; exit 1; }
echo "fuzz: $n targets"
