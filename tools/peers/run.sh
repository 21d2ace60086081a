#!/usr/bin/env bash
# run.sh [measure.py options] VARIANT...   build the lab, measure, take the lab away, whatever happens
set -euo pipefail
cd "$(dirname "$0")"
[ "$(id -u)" -eq 0 ] || { echo "peers: needs root (network namespaces): sudo make peers" >&2; exit 2; }
. ./env.sh
cleanup() { ./lab.sh down; rm -rf "$RUN_DIR"; }
trap cleanup EXIT
trap 'exit 130' INT TERM
echo "load average before: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) cores, kernel $(uname -r)"
./lab.sh up
./measure.py "$@"
