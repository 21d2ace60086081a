#!/bin/sh
# natlb's tunnels and direct routing against real devices: bin/natlb in the guest, whose kernel has them, a server with
# every kind of tunnel device, and curl. By every kind, of both families in both, a file has to arrive whole. About a minute.
# `tunnels.sh` boots the guest; `tunnels.sh inside` is what runs there.
set -u
here=$(cd "$(dirname "$0")" && pwd)

if [ "${1-}" != inside ]; then
    out=${1:-$here/../../out/tunnels}
    mkdir -p "$out"
    "$here/run-guest.sh" "$out" -c "sh $here/tunnels.sh inside" >"$out/run.log" 2>&1
    grep -E '^(same|DIFFERENT) ' "$out/job.log"
    [ "$(grep -c '^same ' "$out/job.log")" = 22 ]
    exit
fi

PATH=$here/../../bin:$PATH
export NATLB_SOCKET=/run/natlb.sock
for m in ipip sit ip6_tunnel ip_gre ip6_gre fou fou6; do modprobe -d /run/m $m; done

# one switch; cl asks, dr is the director, rs the server: 10.1.0.10, .11, .12 and fd01::10, ::11, ::12
ip link add br0 type bridge
ip link set br0 up
last=10
for n in cl dr rs; do
    ip netns add $n
    ip link add $n type veth peer name eth0 netns $n
    ip link set $n master br0 up
    ip netns exec $n sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
    ip -n $n link set lo up
    ip -n $n link set eth0 up
    ip -n $n addr add 10.1.0.$last/24 dev eth0
    ip -n $n addr add fd01::$last/64 dev eth0 nodad
    last=$((last + 1))
done

# what docs/forwarding.md tells a server
rs() { ip netns exec rs "$@"; }
rs sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
rs ip addr add 10.1.0.80/32 dev lo
rs ip -6 addr add fd01::80/128 dev lo nodad preferred_lft 0
rs ip link set tunl0 up
rs ip link set sit0 up
rs ip link add natlb6 type ip6tnl mode any local fd01::12 remote any
rs ip link set natlb6 up
rs ip fou add port 6080 gue
rs ip fou add port 6081 gue -6
gre() { # gre [icsum]: the devices for GRE, with checksums or without
    rs ip link del natlb0 2>/dev/null
    rs ip link del natlbg 2>/dev/null
    rs ip link add natlb0 type gre local 10.1.0.12 remote any "$@"
    rs ip link add natlbg type ip6gre local fd01::12 remote any "$@"
    rs ip link set natlb0 up
    rs ip link set natlbg up
}

mkdir /run/w
head -c 300000 /dev/urandom >/run/w/file
rs python3 -m http.server 80 --bind :: --directory /run/w >/dev/null 2>&1 &
ip netns exec dr natlb run --vip-if eth0 --dip-if eth0 >/run/natlb.log 2>&1 &
until natlb -L -n >/dev/null 2>&1 && ip netns exec cl curl -so /dev/null http://10.1.0.12/; do sleep 0.2; done

try() { # try SERVICE SERVER OPTIONS
    vip=$1 server=$2
    shift 2
    natlb -C
    natlb -A -t "$vip" -s rr
    natlb -a -t "$vip" -r "$server" "$@"
    rm -f /run/got
    ip netns exec cl curl -g -s -m 20 -o /run/got "http://$vip/file"
    word=DIFFERENT
    cmp -s /run/got /run/w/file && word=same
    echo "$word $vip $server $*"
}
for vip in 10.1.0.80:80 '[fd01::80]:80'; do
    for server in 10.1.0.12:80 '[fd01::12]:80'; do
        port=6080
        case $server in *fd01*) port=6081 ;; esac
        try $vip $server -i
        gre
        try $vip $server -i --tun-type gre
        gre icsum
        try $vip $server -i --tun-type gre --tun-csum
        try $vip $server -i --tun-type gue --tun-port $port
        try $vip $server -i --tun-type gue --tun-port $port --tun-csum
    done
done
try 10.1.0.80:80 10.1.0.12:80 -g
try '[fd01::80]:80' '[fd01::12]:80' -g
cat /run/natlb.log
