#!/usr/bin/env bash
# traces.sh   print what a run could leave behind, a line each, sorted: two calls are compared with diff.
# Namespaces (named, and anonymous ones that a process holds), processes of ours and of the programs the tests start,
# links, nft tables, sockets and temporary folders. Also policy-rc.d, which tools/deps.sh writes for a moment.
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin
{
  for n in /run/netns/*; do [ -e "$n" ] && echo "netns $n"; done
  self=$(readlink /proc/self/ns/net)
  for p in /proc/[0-9]*; do
    ns=$(readlink "$p/ns/net" 2>/dev/null) || continue
    comm=$(cat "$p/comm" 2>/dev/null) || continue
    if [ "$ns" != "$self" ]; then echo "process ${p#/proc/} $comm in another network namespace"; continue; fi
    case $comm in natlb | nginx | iperf3 | haproxy | wrk | *.test) echo "process ${p#/proc/} $comm" ;; esac
  done
  if command -v ip >/dev/null; then ip -o link | awk -F': ' '{ print "link " $2 }'; fi
  if command -v nft >/dev/null; then nft list tables 2>/dev/null | sed 's/^/nft /'; fi
  for f in /run/natlb* /tmp/natlb-*; do [ -e "$f" ] && echo "file $f"; done
  [ -e /usr/sbin/policy-rc.d ] && echo "file /usr/sbin/policy-rc.d"
} | sort
