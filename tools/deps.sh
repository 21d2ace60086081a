#!/usr/bin/env bash
# deps.sh SET...   make sure that the programs of each set are there (test, race, oracle, guest, peers).
# As root on a system with apt: says what it installs, and installs it. Otherwise: names what is missing in one line
# and leaves it at that; tests that need a missing program skip with the reason.
set -euo pipefail

# program:package. nginx, vsftpd, curl and iperf3 are the real servers and clients of the end-to-end tests;
# tshark reads what natlb replay writes, chromium shows the page of its comparisons.
declare -A sets=(
  [test]="nginx:nginx-light vsftpd:vsftpd curl:curl iperf3:iperf3 nft:nftables ip:iproute2 ethtool:ethtool sysctl:procps python3:python3 tshark:tshark chromium:chromium"
  [race]="gcc:gcc"
  [oracle]="ip:iproute2 python3:python3"
  [guest]="linux.uml:user-mode-linux modprobe:kmod gcc:gcc"
  [peers]="ip:iproute2 ethtool:ethtool nft:nftables haproxy:haproxy nginx:nginx-light iperf3:iperf3 wrk:wrk gcc:gcc python3:python3"
)

# An installed service must not start: the tests start their own nginx in their own namespaces. Debian asks policy-rc.d;
# one that exists already is the administrator's and stays.
policy=/usr/sbin/policy-rc.d
no_services() {
  [ -e "$policy" ] && return
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

PATH=$PATH:/usr/sbin:/sbin
missing=() packages=()
for set in "$@"; do
  for pair in ${sets[$set]:?unknown set $set}; do
    command -v "${pair%%:*}" >/dev/null && continue
    [[ " ${missing[*]} " == *" ${pair%%:*} "* ]] && continue
    missing+=("${pair%%:*}") packages+=("${pair#*:}")
  done
done
# gcc alone cannot link: cgo wants the C library's headers
[[ " ${packages[*]} " == *" gcc "* ]] && packages+=(libc6-dev)

[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} (Debian: apt-get install ${packages[*]}); what needs them is skipped" >&2
  exit 0
fi
echo "installing with apt: ${packages[*]}" >&2
no_services
export DEBIAN_FRONTEND=noninteractive
apt_install() { apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "${packages[@]}" </dev/null >/dev/null; }
apt_install 2>/dev/null || { apt-get update -qq </dev/null >/dev/null && apt_install; }
