# shellcheck shell=bash
# Shared settings of the lab; sourced by every script here.
# Names: every namespace is ${P}<role>; change P when two labs run on one machine.
P=${P:-bl}
LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RUN_DIR=${RUN_DIR:-/tmp/natlb-lab-$P}
CLI=${P}cli VSW=${P}vsw DIR=${P}dir DSW=${P}dsw RS1=${P}rs1 RS2=${P}rs2
CIP=10.11.0.2            # client
DVIP_IP=10.11.0.1        # director's own address on the VIP side
VIP=10.11.0.100          # the virtual address
DIP=10.12.0.1            # director's own address on the DIP side (servers' default gateway)
R1=10.12.0.11 R2=10.12.0.12
VIF=vip0 DIF=dip0        # director's interface names
HTTP_PORT=80 IPERF_PORT=5201 UDP_PORT=9999
nse() { ip netns exec "$@"; }
mkdir -p "$RUN_DIR"
