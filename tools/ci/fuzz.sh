#!/usr/bin/env bash
# fuzz.sh TIME   run every fuzz target of the module for TIME each; the targets are found, not listed.
set -euo pipefail
time=$1 n=0
for pkg in $(go list ./...); do
  for f in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
    echo "fuzz $pkg $f"
    go test -run '^$' -fuzz "^$f\$" -fuzztime "$time" -fuzzminimizetime 10x "$pkg"
    n=$((n + 1))
  done
done
[ "$n" -gt 0 ] || { echo "no fuzz target found" >&2; exit 1; }
echo "fuzz: $n targets"
