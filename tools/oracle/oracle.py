#!/usr/bin/env python3
"""Scenario runner: one topology of network namespaces, one director, recorded observations.

The same scenario file runs against kernel IPVS (inside the guest, --director-cmd ipvsadm)
and against another director on the host (--director-cmd natlb --director-start "...").
Needs root, iproute2 and python3.9+, nothing else.
"""
import argparse, ctypes, errno, fcntl, json, os, random, re, select, shlex, signal, socket
import struct, subprocess, sys, time

LIBC = ctypes.CDLL("libc.so.6", use_errno=True)
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1

def die_with_parent(sig):
    """in a child, before exec: the kernel sends sig when the runner is gone, kill -9 included"""
    LIBC.prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0)

# ----------------------------------------------------------------------------- address plans
def a6(hi, *w):
    """/32 prefix "xxxx:yyyy" and up to six 16-bit words, the last ones on the right"""
    h = [int(x, 16) for x in hi.split(":")]
    return socket.inet_ntop(socket.AF_INET6, struct.pack("!8H", *(h + [0] * (8 - len(h) - len(w)) + list(w))))

def plan(cnet, rnet, dgw_c, rs_last, c6, r6, rs6, k6):
    """cnet: first two octets of the /16 on the VIP side; rnet: first three of the /24 on the DIP side.
    c6: /32 on the VIP side for IPv6; r6: /64 on the DIP side; the first addresses of a kind differ in the last word
    only, the others (k6: multipliers) in every 32-bit word below the prefix, so that folding is visible."""
    p = {
        "client_net": cnet + ".0.0/16", "clen": 16,
        "dir_vip_if_addr": cnet + ".0.1",
        "vips": [cnet + ".1.%d" % i for i in range(1, 41)],
        "clients": [cnet + ".2.%d" % i for i in range(1, 101)],
        "raw_prefix": cnet + ".3.",          # not owned by the client kernel, ARP is answered by the runner
        "rs_net": rnet + ".0/24",
        "dip": rnet + ".1",
        "rs": [rnet + ".%d" % rs_last[i] for i in range(4)],
        "c6": c6, "r6": r6, "dir6": a6(c6, 1), "dip6": a6(r6, 1), "rs6": [a6(r6, x) for x in rs6],
        "vips6": [a6(c6, 1, 0, 0, 0, 0, i) if i <= 12 else a6(c6, 1, i, i * k6[0] & 0xffff, 7, i * k6[1] & 0xffff, i) for i in range(1, 41)],
        "clients6": [a6(c6, 2, 0, 0, 0, 0, i) if i <= 20 else a6(c6, 2, i * k6[1] & 0xffff, i * k6[2] & 0xffff, i, i * k6[0] & 0xffff, i) for i in range(1, 101)],
        "raw6b": socket.inet_pton(socket.AF_INET6, a6(c6, 3, 0, 0, 0, 0, 0)),
        "raw6": a6(c6, 3, 0, 0, 0, 0, 0),     # x:y:3:: and a last word; neighbour solicitations are answered by the runner
    }
    return p

PLANS = {
    "open": plan("10.10", "10.20.0", None, (11, 12, 13, 14), "fd10:10", "fd20:0:0:1", (0x11, 0x12, 0x13, 0x14), (257, 4099, 30011)),
    "own": plan("172.27", "192.168.205", None, (201, 9, 130, 57), "fd33:77", "fd44:0:0:9", (0x51, 0x22, 0x93, 0x34), (263, 4111, 30013)),
}

# Ports every real server listens on.
TCP_PORTS = [21, 22, 80, 81, 443, 1234, 8080, 8088, 9000]
UDP_PORTS = [53, 69, 80, 500, 5353, 8053, 9000]
SCTP_PORTS = [80, 443, 8080, 9000]           # only in scenarios with "sctp"
RET = "10.99.0."                             # return link servers -> client, only in scenarios with "ret"
RET6 = "fd99::"

MAC = {"cl0": "02:00:00:00:01:02", "vip0": "02:00:00:00:01:01", "dip0": "02:00:00:00:02:01",
       "clr0": "02:00:00:00:03:02",
       "rs1": "02:00:00:00:02:11", "rs2": "02:00:00:00:02:12", "rs3": "02:00:00:00:02:13", "rs4": "02:00:00:00:02:14"}

def macb(s):
    return bytes(int(x, 16) for x in s.split(":"))

# ----------------------------------------------------------------------------- namespaces
class NS:
    def __init__(self, prefix):
        self.prefix = prefix
        self.fd = {}
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)

    def name(self, n):
        return self.prefix + n

    def add(self, n):
        subprocess.run(["ip", "netns", "add", self.name(n)], check=True)
        self.fd[n] = os.open("/run/netns/" + self.name(n), os.O_RDONLY)

    def delete_all(self):
        for n in list(self.fd):
            os.close(self.fd.pop(n))
            subprocess.run(["ip", "netns", "del", self.name(n)], check=False)

    def enter(self, n):
        if LIBC.setns(self.fd[n] if n else self.home, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns " + str(n))

    def __call__(self, n):
        ns = self
        class Ctx:
            def __enter__(s): ns.enter(n)
            def __exit__(s, *a): ns.enter(None)
        return Ctx()

    def popen(self, n, argv, **kw):
        fd = self.fd[n]
        def enter():
            die_with_parent(signal.SIGTERM)
            LIBC.setns(fd, CLONE_NEWNET)
        return subprocess.Popen(argv, preexec_fn=enter, **kw)

    def run(self, n, argv, stdin=None, timeout=20):
        p = self.popen(n, argv, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            o, e = p.communicate(stdin.encode() if stdin is not None else None, timeout=timeout)
        except subprocess.TimeoutExpired:
            p.kill(); o, e = p.communicate()
            return -9, o.decode(errors="replace"), e.decode(errors="replace") + "\n<runner: timed out>"
        return p.returncode, o.decode(errors="replace"), e.decode(errors="replace")

    def batch(self, n, lines):
        rc, o, e = self.run(n, ["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
        if rc:
            raise RuntimeError("ip -batch in %s: %s %s" % (n, o, e))

    def sysctl(self, n, key, val):
        with self(n):
            with open("/proc/sys/" + key.replace(".", "/"), "w") as f:
                f.write(str(val))

def offloads_off(ifname, keep_tx=False):
    """Plain packets with real checksums on every veth (ETHTOOL_S* ioctls)."""
    SIOCETHTOOL = 0x8946
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for cmd in (0x00000015, 0x00000017, 0x0000001f, 0x00000024, 0x0000002c, 0x00000019):
        # SRXCSUM, STXCSUM, STSO, SGSO, SGRO, SSG
        if keep_tx and cmd in (0x17, 0x19): continue
        buf = ctypes.create_string_buffer(struct.pack("II", cmd, 0))
        ifr = struct.pack("16sP", ifname.encode(), ctypes.addressof(buf)) + b"\0" * 16
        try:
            fcntl.ioctl(s.fileno(), SIOCETHTOOL, ifr)
        except OSError:
            pass
    s.close()

ROLES = ("cl", "dr", "sw", "rs1", "rs2", "rs3", "rs4")

def clean(prefix):
    """Remove what an earlier run with this prefix left behind: only its namespaces and what lives in them."""
    for n in ROLES:
        name = prefix + n
        if not os.path.exists("/run/netns/" + name): continue
        for pid in subprocess.run(["ip", "netns", "pids", name], stdout=subprocess.PIPE, text=True).stdout.split():
            try: os.kill(int(pid), signal.SIGKILL)
            except OSError: pass
        subprocess.run(["ip", "netns", "del", name], check=False)

class Topo:
    def __init__(self, prefix, plan_, vip_mode="local", forward=1, opt=None):
        self.p, self.ns, self.opt = plan_, NS(prefix), opt or {}
        self.vip_mode, self.forward = vip_mode, forward
        self.decap = []                                # tunnels that the servers take apart themselves

    def up(self):
        ns, p = self.ns, self.p
        for n in ROLES:
            ns.add(n)
        N = ns.name
        ns.batch("cl", [
            "link set lo up",
            "link add cl0 address %s type veth peer name vip0 address %s netns %s" % (MAC["cl0"], MAC["vip0"], N("dr")),
            "link set cl0 up",
            "addr add %s/%d dev cl0" % (p["clients"][0], p["clen"]),
        ] + ["addr add %s/%d dev cl0" % (c, p["clen"]) for c in p["clients"][1:]] + [
            "route add default via %s" % p["dir_vip_if_addr"]])
        ns.batch("sw", ["link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 up",
                        "link add swd type veth peer name dip0 address %s netns %s" % (MAC["dip0"], N("dr")),
                        "link set swd master br0 up"] +
                 [l for i in range(1, 5) for l in (
                     "link add sw%d type veth peer name eth0 address %s netns %s" % (i, MAC["rs%d" % i], N("rs%d" % i)),
                     "link set sw%d master br0 up" % i)])
        ns.batch("dr", ["link set lo up", "link set vip0 up", "link set dip0 up",
                        "addr add %s/%d dev vip0" % (p["dir_vip_if_addr"], p["clen"]),
                        "addr add %s/24 dev dip0" % p["dip"]] +
                 (["addr add %s/32 dev vip0" % v for v in p["vips"]] if self.vip_mode == "local" else []))
        if self.vip_mode == "route":
            ns.batch("cl", ["route add %s.0/24 via %s" % (p["vips"][0].rsplit(".", 1)[0], p["dir_vip_if_addr"])])
        for i in range(1, 5):
            n = "rs%d" % i
            ns.batch(n, ["link set lo up", "link set eth0 up", "addr add %s/24 dev eth0" % p["rs"][i - 1],
                         "route add default via %s" % p["dip"]])
        ns.sysctl("dr", "net.ipv4.ip_forward", self.forward)
        for n in ("cl", "dr", "rs1", "rs2", "rs3", "rs4"):
            for k in ("net.ipv6.conf.all.disable_ipv6", ):
                try: ns.sysctl(n, k, 0 if self.opt.get("v6") else 1)
                except OSError: pass
            for k, v in (("net.ipv4.conf.all.rp_filter", 0), ("net.ipv4.conf.all.send_redirects", 0),
                         ("net.ipv4.conf.all.accept_redirects", 0), ("net.ipv4.icmp_ratelimit", 0),
                         ("net.ipv4.icmp_msgs_per_sec", 100000)):
                try: ns.sysctl(n, k, v)
                except OSError: pass
        try: ns.sysctl("dr", "net.ipv4.conf.dip0.send_redirects", 0); ns.sysctl("dr", "net.ipv4.conf.vip0.send_redirects", 0)
        except OSError: pass
        for n, ifs in (("cl", ["cl0"]), ("dr", ["vip0", "dip0"]), ("sw", ["swd", "sw1", "sw2", "sw3", "sw4"]),
                       ("rs1", ["eth0"]), ("rs2", ["eth0"]), ("rs3", ["eth0"]), ("rs4", ["eth0"])):
            with ns(n):
                for i in ifs:
                    offloads_off(i, keep_tx=self.opt.get("txcsum") and n in ("sw", "rs1", "rs2", "rs3", "rs4"))
        if self.opt.get("ret"): self.up_ret()
        if self.opt.get("v6"): self.up6()
        for m in self.opt.get("tun", []): self.up_tun(m)

    def up6(self):
        """IPv6 on the same links: no DAD, no router solicitations, no autoconfiguration"""
        ns, p = self.ns, self.p
        for n in ("cl", "dr", "rs1", "rs2", "rs3", "rs4"):
            for k, v in (("conf.all.accept_dad", 0), ("conf.default.accept_dad", 0), ("conf.all.accept_ra", 0), ("conf.all.router_solicitations", 0),
                         ("conf.all.accept_redirects", 0), ("icmp.ratelimit", 0), ("conf.all.forwarding", self.forward if n == "dr" else 0)):
                try: ns.sysctl(n, "net.ipv6." + k, v)
                except OSError: pass
        for i in ["vip0", "dip0"]:
            try: ns.sysctl("dr", "net.ipv6.conf.%s.accept_dad" % i, 0)
            except OSError: pass
        ns.batch("cl", ["addr add %s/32 dev cl0 nodad" % c for c in p["clients6"]] + ["route add default via %s dev cl0" % p["dir6"]])
        ns.batch("dr", ["addr add %s/32 dev vip0 nodad" % p["dir6"], "addr add %s/64 dev dip0 nodad" % p["dip6"]] +
                 (["addr add %s/128 dev vip0 nodad" % v for v in p["vips6"]] if self.vip_mode == "local" else []))
        if self.vip_mode == "route":
            ns.batch("cl", ["route add %s/48 via %s" % (a6(p["c6"], 1, 0, 0, 0, 0, 0), p["dir6"])])
        for i in range(1, 5):
            ns.batch("rs%d" % i, ["addr add %s/64 dev eth0 nodad" % p["rs6"][i - 1], "route add default via %s dev eth0" % p["dip6"]])
        if self.opt.get("ret"):
            ns.batch("cl", ["addr add %s1/64 dev clr0 nodad" % RET6])
            for i in range(1, 5):
                ns.batch("rs%d" % i, ["addr add %s%d/64 dev eth1 nodad" % (RET6, 10 + i), "route add %s/32 via %s1 dev eth1" % (a6(p["c6"], 0), RET6)] +
                         ["addr add %s/128 dev lo nodad" % v for v in p["vips6"][:20]])

    def up_ret(self):
        """a second bridge on which the servers answer the client directly; the VIPs on the servers' lo, no ARP for them"""
        ns, p = self.ns, self.p
        N = ns.name
        ns.batch("sw", ["link add br1 type bridge forward_delay 0 mcast_snooping 0", "link set br1 up",
                        "link add swr type veth peer name clr0 address %s netns %s" % (MAC["clr0"], N("cl")), "link set swr master br1 up"] +
                 [l for i in range(1, 5) for l in (
                     "link add sr%d type veth peer name eth1 address 02:00:00:00:03:1%d netns %s" % (i, i, N("rs%d" % i)),
                     "link set sr%d master br1 up" % i)])
        ns.batch("cl", ["link set clr0 up", "addr add %s1/24 dev clr0" % RET])
        for i in range(1, 5):
            n = "rs%d" % i
            ns.sysctl(n, "net.ipv4.conf.all.arp_ignore", 1); ns.sysctl(n, "net.ipv4.conf.all.arp_announce", 2)
            ns.batch(n, ["link set eth1 up", "addr add %s%d/24 dev eth1" % (RET, 10 + i), "route add %s via %s1 dev eth1" % (p["client_net"], RET)] +
                     ["addr add %s/32 dev lo" % v for v in p["vips"][:20]])
            with ns(n): offloads_off("eth1")
            try: ns.sysctl(n, "net.ipv4.conf.eth1.rp_filter", 0)
            except OSError: pass
        with ns("cl"): offloads_off("clr0")
        with ns("sw"):
            for i in ["swr", "sr1", "sr2", "sr3", "sr4"]: offloads_off(i)
        try: ns.sysctl("cl", "net.ipv4.conf.clr0.rp_filter", 0)
        except OSError: pass

    def up_tun(self, m):
        """decapsulation in every server: ipip, gre, ip6tnl, gue:PORT; by the runner where the kernel has no such device"""
        ns, p = self.ns, self.p
        if m.startswith("gue"):
            try: subprocess.run([open("/proc/sys/kernel/modprobe").read().strip(), "-q", "fou"])
            except OSError: pass
        if m != "ip6tnl" and not self.has_tun(m):
            self.decap.append(m)
            return
        for i in range(1, 5):
            n, a, b = "rs%d" % i, p["rs"][i - 1], p["rs6"][i - 1]
            kind, _, port = m.partition(":")
            if kind in ("ipip", "gue"):
                L = ["link add oipip type ipip local %s remote any" % a, "link set oipip up"]
                if kind == "gue": ns.batch(n, ["fou add port %s gue" % port])
                dev = "oipip"
            elif kind == "gre": L, dev = ["link add ogre type gre local %s remote any" % a, "link set ogre up"], "ogre"
            elif kind == "gre-csum": L, dev = ["link add ogre type gre local %s remote any icsum" % a, "link set ogre up"], "ogre"
            elif kind == "ip6tnl": L, dev = ["link add oip6 type ip6tnl mode any local %s remote any" % b, "link set oip6 up"], "oip6"
            ns.batch(n, L)
            try: ns.sysctl(n, "net.ipv4.conf.%s.rp_filter" % dev, 0)
            except OSError: pass

    def has_tun(self, m):
        """whether this kernel has the tunnel device"""
        kind = m.split("-")[0].split(":")[0]
        if kind == "gue" and self.ns.run("rs1", ["ip", "fou", "show"])[0]: return False
        kind = "ipip" if kind == "gue" else kind
        ok = self.ns.run("rs1", ["ip", "link", "add", "probe", "type", kind, "local", self.p["rs"][0], "remote", "any"])[0] == 0
        if ok: self.ns.run("rs1", ["ip", "link", "del", "probe"])
        return ok

    def down(self):
        self.ns.delete_all()

# ----------------------------------------------------------------------------- tunnels without the kernel's devices
TUNSETIFF, IFF_TUN_NO_PI = 0x400454ca, 0x1001

def decap_sockets(ns, n, m):
    """in server n: a socket that gets the outer packets (whole: the kernel puts fragments together), and a tun device for the inner ones"""
    kind, _, port = m.partition(":")
    with ns(n):
        t = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(t, TUNSETIFF, struct.pack("16sH14x", b"odecap", IFF_TUN_NO_PI))
        if kind == "gue":
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("0.0.0.0", int(port)))
        else:
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 4 if kind == "ipip" else 47)
    ns.batch(n, ["link set odecap up"])
    try: ns.sysctl(n, "net.ipv4.conf.odecap.rp_filter", 0)
    except OSError: pass
    return s, t

def inner_packet(m, d):
    """the packet inside of what decap_sockets' socket has read, or None where a tunnel device would drop it"""
    if m.startswith("gue"):
        return d[4:] if d[:4] == b"\0\4\0\0" else None
    d = d[(d[0] & 15) * 4:]
    if m == "ipip":
        return d
    if m == "gre":
        return d[4:] if d[:4] == b"\0\0\x08\0" else None
    return d[8:] if d[:4] == b"\x80\0\x08\0" and csum(d) == 0 else None

# ----------------------------------------------------------------------------- servers
def serve(ns, plan_, ready, opt, decap=()):
    """All four real servers and the ARP answerer for the raw client addresses, one select loop."""
    ep = select.epoll()
    socks = {}
    def reg(s, kind, name):
        s.setblocking(False)
        socks[s.fileno()] = (s, kind, name)
        ep.register(s.fileno(), select.EPOLLIN)
    for i in range(1, 5):
        n = "rs%d" % i
        with ns(n):
            for port in TCP_PORTS:
                s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("0.0.0.0", port)); s.listen(256)
                reg(s, "listen", n)
            for port in UDP_PORTS:
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                if opt.get("ret"): s.setsockopt(socket.IPPROTO_IP, 8, 1)        # IP_PKTINFO
                s.bind(("0.0.0.0", port))
                reg(s, "udp", n)
            if opt.get("v6"):
                for ports, t, kind in ((TCP_PORTS, socket.SOCK_STREAM, "listen"), (UDP_PORTS, socket.SOCK_DGRAM, "udp")):
                    for port in ports:
                        s = socket.socket(socket.AF_INET6, t)
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        if kind == "udp" and opt.get("ret"): s.setsockopt(socket.IPPROTO_IPV6, 49, 1)    # IPV6_RECVPKTINFO
                        s.bind(("::", port))
                        if kind == "listen": s.listen(256)
                        reg(s, kind, n)
            if opt.get("sctp"):
                for port in SCTP_PORTS:
                    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
                    s.bind((plan_["rs"][i - 1], port)); s.listen(256)
                    reg(s, "listen-sctp", n)
    tuns = {}
    for m in decap:
        for i in range(1, 5):
            s, t = decap_sockets(ns, "rs%d" % i, m)
            reg(s, "tun", m)
            tuns[s.fileno()] = t
    if opt.get("localsrv"):                        # the director serves too
        with ns("dr"):
            for port in TCP_PORTS:
                s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("0.0.0.0", port)); s.listen(256)
                reg(s, "listen", "dr")
            for port in UDP_PORTS:
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.setsockopt(socket.IPPROTO_IP, 8, 1)          # IP_PKTINFO: answer from the address that was asked
                s.bind(("0.0.0.0", port))
                reg(s, "udp", "dr")
    with ns("cl"):
        if opt.get("v6"):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86dd))
            s.bind(("cl0", 0x86dd))
            reg(s, "nd", "cl")
        a = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        a.bind(("cl0", 0x0806))
        reg(a, "arp", "cl")
    pre = plan_["raw_prefix"]
    os.write(ready, b"1"); os.close(ready)
    lin = struct.pack("ii", 1, 0)
    while True:
        for fd, ev in ep.poll():
            s, kind, name = socks[fd]
            try:
                if kind in ("listen", "listen-sctp"):
                    c, _ = s.accept()
                    c.setblocking(False)
                    if kind == "listen": c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    c.send((name + "\n").encode())
                    socks[c.fileno()] = (c, "conn", name); ep.register(c.fileno(), select.EPOLLIN)
                elif kind == "nd":
                    d = s.recv(2048)
                    if len(d) >= 78 and d[20] == 58 and d[54] == 135 and d[62:76] == plan_["raw6b"][:14] and d[22:38] != bytes(16):
                        m = macb(MAC["cl0"]); src, tgt = d[22:38], d[62:78]
                        q = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + tgt + b"\2\1" + m
                        c = csum(tgt + src + struct.pack("!II", len(q), 58) + q)
                        q = q[:2] + struct.pack("!H", c) + q[4:]
                        s.send(d[6:12] + m + b"\x86\xdd" + struct.pack("!IHBB", 0x60000000, len(q), 58, 255) + tgt + src + q)
                elif kind == "udp" and (name == "dr" or opt.get("ret")):      # answer from the address that was asked
                    d, anc, fl, peer = s.recvmsg(65535, 256)
                    if not d.startswith(b"quiet"):
                        c = []
                        for lv, t, x in anc:
                            if (lv, t) == (0, 8): c = [(0, 8, struct.pack("i", 0) + x[8:12] + x[8:12])]
                            elif (lv, t) == (41, 50): c = [(41, 50, x[:16] + struct.pack("i", 0))]
                        s.sendmsg([(name + " ").encode() + d if d.startswith(b"echo") else (name + " %d\n" % len(d)).encode()], c, 0, peer)
                elif kind == "udp":
                    d, peer = s.recvfrom(65535)
                    if d.startswith(b"quiet"):
                        continue
                    if d.startswith(b"echo"):
                        s.sendto((name + " ").encode() + d, peer)
                    else:
                        s.sendto((name + " %d\n" % len(d)).encode(), peer)
                elif kind == "tun":
                    d = inner_packet(name, s.recv(65535))
                    if d: os.write(tuns[fd], d)
                elif kind == "arp":
                    d = s.recv(2048)
                    if d[20:22] == b"\0\1":
                        tip = socket.inet_ntoa(d[38:42])
                        if tip.startswith(pre):
                            m = macb(MAC["cl0"])
                            s.send(d[6:12] + m + b"\x08\x06" + d[14:20] + b"\0\2" + m + d[38:42] + d[22:28] + d[28:32])
                else:
                    d = s.recv(65536)
                    gone = False
                    if not d:                      # client closed: close our side too, unless told to linger
                        gone = kind != "linger"
                        if not gone:
                            ep.modify(fd, 0)
                    elif d.startswith(b"linger"):  # keep our half open when the client half-closes
                        socks[fd] = (s, "linger", name)
                    elif d.startswith(b"half"):    # server sends its FIN, keeps reading
                        s.shutdown(socket.SHUT_WR)
                    elif d.startswith(b"close"):
                        gone = True
                    elif d.startswith(b"rst"):
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lin); gone = True
                    elif d.startswith(b"big "):
                        s.send(b"x" * int(d.split()[1]))
                    elif d.startswith(b"say "):
                        for l in d.splitlines(True):     # a retransmission can join several lines
                            s.send(l[4:])
                    if gone:
                        ep.unregister(fd); del socks[fd]; s.close()
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                if kind in ("conn", "linger"):
                    try: ep.unregister(fd)
                    except OSError: pass
                    socks.pop(fd, None); s.close()

# ----------------------------------------------------------------------------- packets
def csum(b):
    if len(b) & 1: b += b"\0"
    t = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while t >> 16: t = (t & 0xffff) + (t >> 16)
    return ~t & 0xffff

def ipv4(src, dst, proto, payload, ident=1, ttl=64, df=True, mf=False, off=0, tos=0, opts=b""):
    ihl = 5 + len(opts) // 4
    ff = (0x4000 if df else 0) | (0x2000 if mf else 0) | (off // 8)
    h = struct.pack("!BBHHHBBH4s4s", 0x40 | ihl, tos, ihl * 4 + len(payload), ident, ff, ttl, proto, 0,
                    socket.inet_aton(src), socket.inet_aton(dst)) + opts
    c = csum(h)
    return h[:10] + struct.pack("!H", c) + h[12:] + payload

def ipv6(src, dst, proto, payload, hop=64, flow=0):
    return struct.pack("!IHBB", 0x60000000 | flow, len(payload), proto, hop) + socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + payload

def ipany(src, dst, proto, payload, ident=1, ttl=64, df=True):
    return ipv6(src, dst, proto, payload, ttl) if ":" in src else ipv4(src, dst, proto, payload, ident=ident, ttl=ttl, df=df)

def is_ip(d, nd=False):
    """an IPv4 or IPv6 frame; neighbour discovery and multicast listener reports do not count"""
    if d[12:14] == b"\x08\x00": return True
    if d[12:14] != b"\x86\xdd" or len(d) < 54: return False
    return not (d[20] == 0 or (d[20] == 58 and len(d) > 54 and 130 <= d[54] <= 137) or (d[20] == 58 and d[54] == 143))

def split(ip):
    """(source, destination, protocol, payload, later fragment?) of an IP packet"""
    if ip[0] >> 4 == 6:
        pr, p, fr = ip[6], ip[40:40 + struct.unpack("!H", ip[4:6])[0]], False
        if pr == 44 and len(p) >= 8: fr, pr, p = bool(struct.unpack("!H", p[2:4])[0] & 0xfff8), p[0], p[8:]
        return socket.inet_ntop(socket.AF_INET6, ip[8:24]), socket.inet_ntop(socket.AF_INET6, ip[24:40]), pr, p, fr
    h = (ip[0] & 15) * 4
    return (socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20]), ip[9], ip[h:struct.unpack("!H", ip[2:4])[0]],
            bool(struct.unpack("!H", ip[6:8])[0] & 0x1fff))

CRCT = []
def crc32c(b):
    if not CRCT:
        for i in range(256):
            c = i
            for _ in range(8): c = (c >> 1) ^ (0x82f63b78 if c & 1 else 0)
            CRCT.append(c)
    c = 0xffffffff
    for x in b: c = CRCT[(c ^ x) & 255] ^ (c >> 8)
    return c ^ 0xffffffff

CHUNK = {0: "DATA", 1: "INIT", 2: "INIT_ACK", 3: "SACK", 4: "HEARTBEAT", 5: "HEARTBEAT_ACK", 6: "ABORT", 7: "SHUTDOWN", 8: "SHUTDOWN_ACK",
         9: "ERROR", 10: "COOKIE_ECHO", 11: "COOKIE_ACK", 14: "SHUTDOWN_COMPLETE"}
def sctp(sport, dport, vtag, chunks, badsum=False):
    """chunks: (type, flags, body)"""
    b = b""
    for t, fl, body in chunks:
        b += struct.pack("!BBH", t, fl, 4 + len(body)) + body + b"\0" * (-len(body) % 4)
    h = struct.pack("!HHI", sport, dport, vtag)
    c = crc32c(h + b"\0\0\0\0" + b)
    if badsum: c ^= 0x5555
    return h + struct.pack("<I", c) + b

def sctp_chunks(p):
    o, r = 12, []
    while o + 4 <= len(p):
        t, fl, n = struct.unpack("!BBH", p[o:o + 4])
        if n < 4: break
        r.append((t, fl, p[o + 4:o + n])); o += n + (-n % 4)
    return r

def sctp_text(p, whole):
    if len(p) < 12: return "SCTP short"
    sp, dp = struct.unpack("!HH", p[:4])
    ok = "" if not whole or struct.unpack("<I", p[8:12])[0] == crc32c(p[:8] + b"\0\0\0\0" + p[12:]) else " BADSUM"
    return "SCTP %d>%d %s%s" % (sp, dp, "+".join(CHUNK.get(t, str(t)) for t, f, b in sctp_chunks(p)) if whole else "(truncated)", ok)

def describe6(b):
    """the same for IPv6"""
    if len(b) < 40: return "short"
    tc, plen, pr, hop = (struct.unpack("!H", b[:2])[0] >> 4) & 255, struct.unpack("!H", b[4:6])[0], b[6], b[7]
    s, d = socket.inet_ntop(socket.AF_INET6, b[8:24]), socket.inet_ntop(socket.AF_INET6, b[24:40])
    p = b[40:40 + plen]
    whole = len(b) >= 40 + plen
    base = "%s > %s hop=%d" % (s, d, hop)
    if pr == 44 and len(p) >= 8:
        off = struct.unpack("!H", p[2:4])[0]
        base += " frag off=%d%s" % (off & 0xfff8, " MF" if off & 1 else ""); pr = p[0]; p = p[8:]; whole = False
        if off & 0xfff8: return base + " proto=%d len=%d" % (pr, len(p))
    ps = lambda: "" if not whole or csum(b[8:40] + struct.pack("!II", len(p), pr) + p) == 0 else " BADSUM"
    if pr == 6 and len(p) >= 14:
        sp, dp, seq, ack = struct.unpack("!HHII", p[:12])
        fl = "".join(c for c in "FSRPAU" if p[13] & FL[c])
        if not whole: return "%s TCP %d>%d %s (truncated)" % (base, sp, dp, fl)
        return "%s TCP %d>%d %s seq=%d ack=%d len=%d%s" % (base, sp, dp, fl, seq, ack, len(p) - (p[12] >> 4) * 4, ps())
    if pr == 17 and len(p) >= 8:
        sp, dp, ln, cs = struct.unpack("!HHHH", p[:8])
        return "%s UDP %d>%d len=%d%s" % (base, sp, dp, ln - 8, " nosum" if cs == 0 else ps())
    if pr == 58 and len(p) >= 8:
        t, c = p[0], p[1]
        if t < 128: return "%s ICMP6 type=%d code=%d rest=%s%s { %s }" % (base, t, c, p[4:8].hex(), ps(), describe6(p[8:]))
        return "%s ICMP6 type=%d code=%d len=%d%s" % (base, t, c, len(p) - 8, ps())
    if pr == 41: return "%s IP6IP6 { %s }" % (base, describe6(p))
    if pr == 4: return "%s IPIP6 { %s }" % (base, describe(p))
    if pr == 132: return "%s %s" % (base, sctp_text(p, whole))
    return base + " proto=%d len=%d" % (pr, len(p))

GUE_PORTS, DECODE_SCTP = set(), set()            # set per scenario
def tunnel_text(pr, p):
    """what follows an outer header: IPIP, GRE, GUE"""
    if pr == 4: return "IPIP { %s }" % describe(p)
    if pr == 41: return "IP6IP { %s }" % describe6(p)
    if pr == 47 and len(p) >= 4:
        fl, et = struct.unpack("!HH", p[:4])
        n = 4 + (4 if fl & 0x8000 else 0) + (4 if fl & 0x2000 else 0) + (4 if fl & 0x1000 else 0)
        ok = ("" if csum(p) == 0 else " BADSUM") if fl & 0x8000 else ""
        return "GRE flags=%04x proto=%04x%s { %s }" % (fl, et, ok, describe(p[n:]))

def pseudo(src, dst, proto, n):
    if ":" in src: return socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + struct.pack("!II", n, proto)
    return socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, proto, n)

FL = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}
def tcp(src, dst, sport, dport, flags, seq, ack, data=b"", opts=b"", win=29200, badsum=False):
    while len(opts) % 4: opts += b"\1"
    off = 5 + len(opts) // 4
    fl = sum(FL[c] for c in flags)
    h = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff, off << 4, fl, win, 0, 0) + opts + data
    c = csum(pseudo(src, dst, 6, len(h)) + h)
    if badsum: c ^= 0x5555
    return h[:16] + struct.pack("!H", c) + h[18:]

def udp(src, dst, sport, dport, data, zero=False, badsum=False):
    h = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    c = 0
    if not zero:
        c = csum(pseudo(src, dst, 17, len(h)) + h) or 0xffff
        if badsum: c ^= 0x5555
    return h[:6] + struct.pack("!H", c) + h[8:]

def describe(b):
    """One line for an IP packet, with embedded packets of ICMP errors."""
    if b and b[0] >> 4 == 6: return describe6(b)
    if len(b) < 20: return "short"
    ihl = (b[0] & 15) * 4
    tot, ident, ff, ttl, pr = struct.unpack("!HHHBB", b[2:10])
    s, d = socket.inet_ntoa(b[12:16]), socket.inet_ntoa(b[16:20])
    p = b[ihl:tot]
    frag = " frag off=%d%s" % ((ff & 0x1fff) * 8, " MF" if ff & 0x2000 else "") if ff & 0x3fff else ""
    base = "%s > %s ttl=%d%s%s" % (s, d, ttl, " DF" if ff & 0x4000 else "", frag)
    ok = "" if csum(b[:ihl]) == 0 else " BADIPSUM"
    if ff & 0x1fff: return base + ok + " proto=%d len=%d" % (pr, len(p))
    if pr == 6 and len(p) >= 14:
        sp, dp, seq, ack = struct.unpack("!HHII", p[:12])
        fl = "".join(c for c in "FSRPAU" if p[13] & FL[c])
        cs = ""
        if len(p) >= 20 and not (ff & 0x2000) and len(b) >= tot:
            cs = "" if csum(b[12:20] + struct.pack("!BBH", 0, 6, len(p)) + p) == 0 else " BADSUM"
            return "%s%s TCP %d>%d %s seq=%d ack=%d len=%d%s" % (base, ok, sp, dp, fl, seq, ack, len(p) - (p[12] >> 4) * 4, cs)
        return "%s%s TCP %d>%d %s (truncated)" % (base, ok, sp, dp, fl)
    if pr == 17 and len(p) >= 8:
        sp, dp, ln, cs = struct.unpack("!HHHH", p[:8])
        st = ""
        if cs == 0: st = " nosum"
        elif not (ff & 0x2000) and len(b) >= tot and len(p) >= ln:
            st = "" if csum(b[12:20] + struct.pack("!BBH", 0, 17, len(p)) + p) == 0 else " BADSUM"
        if dp in GUE_PORTS and len(p) >= 12:          # the outer source port is a hash with a random key
            n = 12 + (p[8] & 31) * 4
            return "%s%s UDP *>%d len=%d%s GUE %s { %s }" % (base, ok, dp, ln - 8, st, p[8:n].hex(), describe(p[n:]))
        return "%s%s UDP %d>%d len=%d%s" % (base, ok, sp, dp, ln - 8, st)
    if pr == 1 and len(p) >= 8:
        t, c = p[0], p[1]
        cs = "" if csum(p) == 0 else " BADSUM"
        if t in (3, 11, 12, 4, 5):
            return "%s%s ICMP type=%d code=%d rest=%s%s { %s }" % (base, ok, t, c, p[4:8].hex(), cs, describe(p[8:]))
        return "%s%s ICMP type=%d code=%d id=%d seq=%d len=%d%s" % (base, ok, t, c, *struct.unpack("!HH", p[4:8]), len(p) - 8, cs)
    if pr in (4, 41, 47) and not ff & 0x2000: return "%s%s %s" % (base, ok, tunnel_text(pr, p))
    if pr == 132 and DECODE_SCTP: return "%s%s %s" % (base, ok, sctp_text(p, not ff & 0x2000 and len(b) >= tot))
    return base + ok + " proto=%d len=%d" % (pr, len(p))

class Cap:
    """AF_PACKET capture on one interface, drained on demand.  A mapped ring is used on purpose: an ordinary packet
    socket shares the buffer with the forwarding path, and refragmentation in the director writes into it."""
    FRAME, BLOCK, NBLOCK = 4096, 1 << 18, 16

    def __init__(self, ns, n, ifname):
        import mmap
        with ns(n):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            s.setsockopt(263, 10, 1)                      # SOL_PACKET, PACKET_VERSION = TPACKET_V2
            s.setsockopt(263, 5, struct.pack("IIII", self.BLOCK, self.NBLOCK, self.FRAME, self.BLOCK // self.FRAME * self.NBLOCK))
            s.bind((ifname, 3))
        self.s, self.pk, self.i = s, [], 0
        self.n = self.BLOCK // self.FRAME * self.NBLOCK
        self.m = mmap.mmap(s.fileno(), self.BLOCK * self.NBLOCK)

    def drain(self):
        new = []
        while True:
            o = self.i * self.FRAME
            st, ln, snap, mac, net, sec, nsec = struct.unpack_from("IIIHHII", self.m, o)
            if not st & 1: break
            new.append((sec + nsec / 1e9, self.m[o + mac:o + mac + snap]))
            struct.pack_into("I", self.m, o, 0)
            self.i = (self.i + 1) % self.n
        self.pk += new
        return new

    def write(self, path, keep=lambda d: True):
        self.drain()
        n = 0
        with open(path, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
            for ts, d in self.pk:
                if not keep(d): continue
                f.write(struct.pack("<IIII", int(ts), int((ts % 1) * 1e6), len(d), len(d)) + d); n += 1
        return n

    def close(self):
        self.m.close(); self.s.close()

# ----------------------------------------------------------------------------- runner
class Runner:
    def __init__(self, a, scen):
        self.a, self.sc = a, scen
        self.plan = PLANS[scen.get("plan", "open")]
        self.topo = Topo(a.prefix, self.plan, a.vip_mode, a.forward, scen)
        GUE_PORTS.clear(); DECODE_SCTP.clear(); DECODE_SCTP.update({1} if scen.get("sctp") else ()); GUE_PORTS.update(int(m[4:]) for m in scen.get("tun", []) if m.startswith("gue:"))
        self.ns = self.topo.ns
        self.held = []            # [(id, sock, server)]
        self.sport = scen.get("sport", 20000)
        self.raw = {}             # flow id -> state
        self.caps = {}
        self.rawcap = self.rawcap2 = None
        self.daemon = self.srv = self.director_exit = None

    def wait_ready(self):
        """until --director-ready succeeds (10 s), or --director-wait seconds"""
        if not self.a.director_ready:
            time.sleep(self.a.director_wait); return
        end = time.time() + 10
        while time.time() < end:
            if self.daemon.poll() is not None: raise RuntimeError("the director ended with status %d at its start" % self.daemon.returncode)
            if self.ns.run("dr", ["/bin/sh", "-c", self.a.director_ready])[0] == 0: return
            time.sleep(0.05)
        raise RuntimeError("the director is not ready after 10 s")

    def start(self):
        self.topo.up()
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(r)
            die_with_parent(signal.SIGKILL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL); signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                serve(self.ns, self.plan, w, self.sc, self.topo.decap)
            except BaseException as e:
                sys.stderr.write("server: %r\n" % (e,))
            os._exit(0)
        os.close(w); self.srv = pid
        os.read(r, 1); os.close(r)
        fmt = {"vip_if": "vip0", "dip_if": "dip0", "dip": self.plan["dip"], "netns": self.ns.name("dr")}
        if self.a.director_setup:
            rc, o, e = self.ns.run("dr", ["/bin/sh", "-c", self.a.director_setup.format(**fmt)])
            if rc: raise RuntimeError("director-setup: %s%s" % (o, e))
        if self.a.director_start:
            self.daemon = self.ns.popen("dr", shlex.split(self.a.director_start.format(**fmt)),
                                        stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)
            self.wait_ready()
        if self.sc.get("warm", True):
            # fill neighbour caches so that no pick waits for ARP
            with self.ns("dr"):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                for i in range(4):
                    try: s.sendto(b"quiet", (self.plan["rs"][i], UDP_PORTS[0]))
                    except OSError: pass
                try: s.sendto(b"quiet", (self.plan["clients"][0], 9))
                except OSError: pass
                s.close()
                if self.sc.get("v6"):
                    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                    for h, q in [(x, UDP_PORTS[0]) for x in self.plan["rs6"]] + [(self.plan["clients6"][0], 9)]:
                        try: s.sendto(b"quiet", (h, q))
                        except OSError: pass
                    s.close()
            time.sleep(0.3 if self.sc.get("v6") else 0.05)

    def stop(self):
        for _, s, _ in self.held:
            s.close()
        for c in self.caps.values(): c[0].close()
        if self.rawcap: self.rawcap.close()
        if self.rawcap2: self.rawcap2.close()
        if self.daemon:
            self.daemon.terminate()
            try: self.daemon.wait(5)
            except subprocess.TimeoutExpired: self.daemon.kill(); self.daemon.wait()
            self.director_exit = self.daemon.returncode
        if self.srv: os.kill(self.srv, signal.SIGKILL); os.waitpid(self.srv, 0)
        # leave nothing of the director behind
        self.topo.down()

    # -- director
    def director(self, args, stdin=None):
        return self.ns.run("dr", shlex.split(self.a.director_cmd) + list(args), stdin=stdin)

    def op_dir(self, s):
        args = s["args"] if isinstance(s["args"], list) else shlex.split(s["args"])
        rc, o, e = self.director(args, s.get("stdin"))
        r = {"rc": rc}
        if o: r["out"] = o.splitlines()
        if e: r["err"] = e.splitlines()
        return r
    op_show = op_dir

    def op_dirs(self, s):
        """Several director commands; only failures are recorded."""
        bad = []
        for c in s["cmds"]:
            rc, o, e = self.director(shlex.split(c))
            if rc or o or e: bad.append({"cmd": c, "rc": rc, "out": o.splitlines(), "err": e.splitlines()})
        return {"failed": bad} if bad else {"ok": len(s["cmds"])}

    def op_sleep(self, s):
        time.sleep(s["s"]); return {}

    def op_sysctl(self, s):
        if self.a.sysctl_cmd and s["key"].startswith("net.ipv4.vs.") and s.get("ns", "dr") == "dr":
            rc, o, e = self.ns.run("dr", ["/bin/sh", "-c", self.a.sysctl_cmd.format(key=s["key"], value=s["value"])])
            return {"ok": 1} if rc == 0 else {"rc": rc, "err": (o + e).splitlines()}
        try:
            self.ns.sysctl(s.get("ns", "dr"), s["key"], s["value"]); return {"ok": 1}
        except OSError as e:
            return {"error": str(e)}

    def op_exec(self, s):
        rc, o, e = self.ns.run(s.get("ns", "dr"), shlex.split(s["cmd"]) if isinstance(s["cmd"], str) else s["cmd"])
        r = {"rc": rc}
        if not s.get("quiet"):
            if o: r["out"] = o.splitlines()
            if e: r["err"] = e.splitlines()
        return r

    def op_readfile(self, s):
        with self.ns("dr"):
            try: return {"out": open(s["path"]).read().splitlines()}
            except OSError as e: return {"error": str(e)}

    # -- ordinary clients
    def hp(self, x):
        h, p = x.rsplit(":", 1); return h.strip("[]"), int(p)

    def src0(self, s, dst):
        """the scenario's client address, or the first one of the family"""
        return s.get("src", self.plan["clients6" if ":" in dst[0] else "clients"][0])

    def next_sport(self):
        self.sport += 1
        return self.sport

    def connect(self, src, sport, dst, timeout, proto="tcp"):
        with self.ns("cl"):
            c = socket.socket(socket.AF_INET6 if ":" in dst[0] else socket.AF_INET, socket.SOCK_STREAM, 132 if proto == "sctp" else 0)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if proto == "tcp": c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.settimeout(timeout)
        try:
            c.bind((src, sport)); c.connect(dst)
            b = b""
            while not b.endswith(b"\n"):
                d = c.recv(64)
                if not d: c.close(); return None, "eof"
                b += d
            return c, b.decode().strip()
        except OSError as e:
            c.close()
            if isinstance(e, socket.timeout): return None, "timeout"
            return None, errno.errorcode.get(e.errno, str(e))

    def finish(self, c, how="fin"):
        try:
            if how == "rst":
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close(); return
            c.settimeout(0.5)
            c.shutdown(socket.SHUT_WR)
            while c.recv(4096): pass
        except OSError:
            pass
        c.close()

    def op_picks(self, s):
        dsts = s["dst"] if isinstance(s["dst"], list) else [s["dst"]]
        srcs = self.src0(s, self.hp(dsts[0])); srcs = srcs if isinstance(srcs, list) else [srcs]
        ports = s.get("sports")
        mode = s.get("mode", "C")
        got = []
        for i in range(s["n"]):
            src, dst = srcs[i % len(srcs)], self.hp(dsts[(i // s.get("dst_every", 1)) % len(dsts)])
            sport = ports[i % len(ports)] if ports else self.next_sport()
            if s.get("proto", "tcp") == "udp":
                got.append(self.udp_once(src, sport, dst, s.get("timeout", 1.5)))
                continue
            c, who = self.connect(src, sport, dst, s.get("timeout", 1.5), s.get("proto", "tcp"))
            got.append(who)
            m = mode[i % len(mode)]
            if c is None: continue
            if m == "H": self.held.append((s.get("id", "p") + str(i), c, who))
            elif m == "R": self.finish(c, "rst")
            else: self.finish(c)
            if s.get("gap"): time.sleep(s["gap"])
        return {"picks": got}

    def op_release(self, s):
        w = s.get("which", "all"); n = s.get("n", 10**9); out = []; keep = []
        for t in self.held:
            if len(out) < n and (w == "all" or t[2] == w or t[0] == w):
                self.finish(t[1], s.get("how", "fin")); out.append(t[2])
            else:
                keep.append(t)
        self.held = keep
        return {"released": out}

    def op_tcp(self, s):
        c, who = self.connect(self.src0(s, self.hp(s["dst"])), s.get("sport") or self.next_sport(), self.hp(s["dst"]), s.get("timeout", 1.5), s.get("proto", "tcp"))
        if c: self.held.append((s["id"], c, who))
        return {"got": who}

    def op_do(self, s):
        """act on a held connection: send TEXT (answer recorded), half (client FIN), close, rst, forget"""
        for t in self.held:
            if t[0] == s["id"]: break
        else:
            return {"error": "no such connection"}
        c = t[1]; act = s["act"]; r = {}
        try:
            if act == "send":
                c.send(s["data"].encode() + b"\n")
                if s.get("recv"):
                    c.settimeout(s.get("timeout", 1.5))
                    d = c.recv(65536)
                    while d and not d.startswith(b"x"):  # late answers to earlier lines belong here too
                        if not select.select([c], [], [], 0.1)[0]: break
                        e = c.recv(65536)
                        if not e: break
                        d += e
                    r["got"] = "eof" if not d else (d.decode(errors="replace").strip() if len(d) < 200 else "%d bytes" % len(d))
            elif act == "recv":
                c.settimeout(s.get("timeout", 1.5)); d = c.recv(65536)
                r["got"] = "eof" if not d else (d.decode(errors="replace").strip() if len(d) < 200 else "%d bytes" % len(d))
            elif act == "half": c.shutdown(socket.SHUT_WR)
            elif act == "rst": self.finish(c, "rst"); self.held.remove(t)
            elif act == "close": c.close(); self.held.remove(t)
            elif act == "fin": self.finish(c); self.held.remove(t)
        except OSError as e:
            r["got"] = "timeout" if isinstance(e, socket.timeout) else errno.errorcode.get(e.errno, str(e))
        return r

    def udp_once(self, src, sport, dst, timeout=1.5, data=b"x", reply=True):
        with self.ns("cl"):
            c = socket.socket(socket.AF_INET6 if ":" in dst[0] else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            c.settimeout(timeout); c.bind((src, sport)); c.connect(dst); c.send(data)
            if not reply: return "sent"
            d = c.recv(65536)
            return d.decode(errors="replace").split()[0]
        except socket.timeout: return "timeout"
        except OSError as e: return errno.errorcode.get(e.errno, str(e))
        finally: c.close()

    def op_udp(self, s):
        d = s.get("data", "x").encode() * s.get("times", 1)
        return {"got": self.udp_once(self.src0(s, self.hp(s["dst"])), s.get("sport") or self.next_sport(), self.hp(s["dst"]),
                                     s.get("timeout", 1.5), d, s.get("reply", True))}

    def op_ping(self, s):
        """raw ICMP echo from a raw client address"""
        if ":" in s["dst"]:
            p = struct.pack("!BBHHH", 128, 0, 0, s.get("id", 77), s.get("seq", 1)) + b"p" * s.get("len", 32)
            p = p[:2] + struct.pack("!H", csum(pseudo(s["src"], s["dst"], 58, len(p)) + p)) + p[4:]
            return self.rawsend(ipv6(s["src"], s["dst"], 58, p), s)
        p = struct.pack("!BBHHH", 8, 0, 0, s.get("id", 77), s.get("seq", 1)) + b"p" * s.get("len", 32)
        p = p[:2] + struct.pack("!H", csum(p)) + p[4:]
        return self.rawsend(ipv4(s["src"], s["dst"], 1, p, ident=s.get("ident", 7)), s)

    # -- raw clients
    def rawopen(self):
        if not self.rawcap:
            self.rawcap = Cap(self.ns, "cl", "cl0")
            if self.sc.get("ret"): self.rawcap2 = Cap(self.ns, "cl", "clr0")
            with self.ns("cl"):
                self.rawtx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
                self.rawtx.bind(("cl0", 0x0800))

    def rawsend(self, pkts, s):
        self.rawopen()
        self.rawdrain()
        pkts = pkts if isinstance(pkts, list) else [pkts]
        for b in pkts:
            self.rawtx.send(macb(MAC["vip0"]) + macb(MAC["cl0"]) + (b"\x86\xdd" if b[0] >> 4 == 6 else b"\x08\x00") + b)
        return {"back": self.rawback(s)}

    def rawdrain(self):
        new = self.rawcap.drain()
        return sorted(new + self.rawcap2.drain()) if self.rawcap2 else new

    def rawback(self, s):
        wait = s.get("wait", 0.15)
        end = time.time() + wait
        out = []
        while True:
            left = end - time.time()
            if left <= 0: break
            select.select([c.s for c in (self.rawcap, self.rawcap2) if c], [], [], left)
            for ts, d in self.rawdrain():
                if not is_ip(d) or d[6:12] == macb(MAC["cl0"]): continue
                ip = d[14:]
                out.append(ip)
        self.last = out
        res = []
        for ip in out:
            self.learn(ip)
            a, b, pr, p, fr = split(ip)
            if s["op"] in ("raw", "rawsctp") and pr in (6, 132) and not fr:          # other flows' retransmissions are not this step's business
                f = self.raw[s["id"]]
                if struct.unpack("!HH", p[:4]) != (f["dport"], f["sport"]): continue
            res.append(self.relabel(describe(ip)))
        return res

    def learn(self, ip):
        a, b, pr, p, fr = split(ip)
        if pr == 132 and not fr and len(p) >= 16:
            for f in self.raw.values():
                if f["sport"] == struct.unpack("!H", p[2:4])[0] and f["src"] == b:
                    for t, fl, body in sctp_chunks(p):
                        if t == 2:
                            f["ptag"], f["ptsn"] = struct.unpack("!I", body[:4])[0], (struct.unpack("!I", body[12:16])[0] - 1) & 0xffffffff
                            q = body[16:]
                            while len(q) >= 4:
                                pt, pl = struct.unpack("!HH", q[:4])
                                if pt == 7: f["cookie"] = q[4:pl]
                                if pl < 4: break
                                q = q[pl + (-pl % 4):]
                        elif t == 0:
                            f["ptsn"] = struct.unpack("!I", body[:4])[0]; f["data"] = f.get("data", b"") + body[12:]
            return
        if pr != 6 or fr: return
        if len(p) < 20: return
        sp, dp, seq, ack = struct.unpack("!HHII", p[:12])
        for f in self.raw.values():
            if f["sport"] == dp and f["src"] == b and f["dport"] == sp:
                dlen = len(p) - (p[12] >> 4) * 4
                if f["irs"] is None or p[13] & 2: f["irs"] = seq; f["rcv"] = seq
                end = seq + dlen + (1 if p[13] & 2 else 0) + (1 if p[13] & 1 else 0)
                if ((end - f["rcv"]) & 0xffffffff) < 0x7fffffff: f["rcv"] = end & 0xffffffff
                d = p[(p[12] >> 4) * 4:]
                if d: f["data"] = f.get("data", b"") + d

    def relabel(self, t):
        """server sequence numbers are random: print them relative to the server's first one"""
        for f in self.raw.values():
            if f["irs"] is None: continue
            pat = r"( TCP %d>%d \S+ seq=)(\d+)( )" % (f["dport"], f["sport"])
            t = re.sub(pat, lambda m: m.group(1) + "s+%d" % ((int(m.group(2)) - f["irs"]) & 0xffffffff) + m.group(3), t)
        return t

    def op_raw(self, s):
        """one TCP segment of raw flow `id`: flags, optional data, ack automatic"""
        f = self.raw.get(s["id"])
        if f is None:
            h, p = self.hp(s["dst"])
            f = self.raw[s["id"]] = {"src": s["src"],  "sport": s["sport"], "dst": h, "dport": p, "snd": s.get("seq", 1000), "irs": None, "rcv": 0}
        if "seq" in s: f["snd"] = s["seq"]
        fl = s["flags"]
        data = s.get("data", "").encode() * s.get("times", 1)
        opts = bytes.fromhex(s.get("opts", ""))
        seg = tcp(f["src"], f["dst"], f["sport"], f["dport"], fl, f["snd"], f["rcv"] if "A" in fl else 0, data, opts, badsum=s.get("badsum", False))
        f["snd"] += len(data) + (1 if "S" in fl else 0) + (1 if "F" in fl else 0)
        r = self.rawsend(ipany(f["src"], f["dst"], 6, seg, ident=s.get("ident", 1), ttl=s.get("ttl", 64), df=s.get("df", True)), s)
        if f.get("data"): r["from"] = f["data"].decode(errors="replace").strip()[:40]
        return r

    def op_rawudp(self, s):
        h, p = self.hp(s["dst"])
        d = s.get("data", "x").encode() * s.get("times", 1)
        u = udp(s["src"], h, s["sport"], p, d, s.get("zero", False), s.get("badsum", False))
        if s.get("frag"):
            n, pk, order = s["frag"], [], []
            for o in range(0, len(u), n):
                pk.append(ipv4(s["src"], h, 17, u[o:o + n], ident=s.get("ident", 99), df=False, mf=o + n < len(u), off=o))
            if s.get("order"): pk = [pk[i] for i in s["order"]]
            return self.rawsend(pk, s)
        return self.rawsend(ipany(s["src"], h, 17, u, ident=s.get("ident", 5), ttl=s.get("ttl", 64), df=s.get("df", True)), s)

    def op_rawsctp(self, s):
        """one SCTP packet of raw flow `id`: chunk names; tags, cookie and TSNs automatic"""
        f = self.raw.get(s["id"])
        if f is None:
            h, p = self.hp(s["dst"])
            f = self.raw[s["id"]] = {"src": s["src"], "sport": s["sport"], "dst": h, "dport": p, "irs": None, "rcv": 0, "ptag": 0, "ptsn": 0, "cookie": b"", "tsn": 1000}
        ch = []
        for c in s["chunks"].split("+"):
            if c == "INIT": ch.append((1, 0, struct.pack("!IIHHI", 0x01020304, 65535, 10, 10, f["tsn"])))
            elif c == "COOKIE_ECHO": ch.append((10, 0, f["cookie"]))
            elif c == "DATA":
                ch.append((0, 3, struct.pack("!IHHI", f["tsn"], 0, f.setdefault("ss", 0), 0) + s.get("data", "x").encode())); f["tsn"] += 1; f["ss"] += 1
            elif c == "SACK": ch.append((3, 0, struct.pack("!IIHH", f["ptsn"], 65535, 0, 0)))
            elif c == "SHUTDOWN": ch.append((7, 0, struct.pack("!I", f["ptsn"])))
            else: ch.append(({v: k for k, v in CHUNK.items()}[c], 0, b""))
        tag = s["tag"] if "tag" in s else 0 if "INIT" in s["chunks"].split("+") else f["ptag"]
        r = self.rawsend(ipany(f["src"], f["dst"], 132, sctp(f["sport"], f["dport"], tag, ch, s.get("badsum", False)), ttl=s.get("ttl", 64)), s)
        if f.get("data"): r["from"] = f["data"].decode(errors="replace").strip()[:40]
        return r

    def op_rawip(self, s):
        return self.rawsend(bytes.fromhex(s["hex"]), s)

    def op_icmp_from_rs(self, s):
        """real server sends an ICMP error about the last packet that it received from the flow (needs a capture 'dip')"""
        c = self.caps[s.get("cap", "dip")][0]; c.drain()
        if s.get("v6"): return self.icmp6_from_rs(s, c)
        rsip = self.plan["rs"][int(s["rs"][-1]) - 1]
        inner = None
        for ts, d in reversed(c.pk):
            if d[12:14] == b"\x08\x00" and d[14 + 16:14 + 20] == socket.inet_aton(rsip) and d[14 + 9] == s["proto"]:
                inner = d[14:14 + 20 + s.get("inner", 8)]; break
        if inner is None: return {"error": "no packet seen"}
        p = struct.pack("!BBHI", s["type"], s["code"], 0, s.get("rest", 0)) + inner
        p = p[:2] + struct.pack("!H", csum(p)) + p[4:]
        pk = ipv4(rsip, socket.inet_ntoa(inner[12:16]), 1, p, ident=3, df=False)
        with self.ns(s["rs"]):
            t = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)); t.bind(("eth0", 0x0800))
        self.rawopen(); self.rawcap.drain()
        t.send(macb(MAC["dip0"]) + macb(MAC[s["rs"]]) + b"\x08\x00" + pk); t.close()
        return {"sent": describe(pk), "back": self.rawback(s)}

    def op_icmp_from_client(self, s):
        """client sends an ICMP error about the last packet it got from the VIP (towards the real server)"""
        if ":" in s["src"]: return self.icmp6_from_client(s)
        inner = None
        for ts, d in reversed(sorted(self.rawcap.pk + self.rawcap2.pk) if self.rawcap2 else self.rawcap.pk):
            if d[12:14] == b"\x08\x00" and d[6:12] != macb(MAC["cl0"]) and d[14 + 16:14 + 20] == socket.inet_aton(s["src"]) and d[14 + 9] == s["proto"]:
                inner = d[14:14 + 20 + s.get("inner", 8)]; break
        if inner is None: return {"error": "no packet seen"}
        p = struct.pack("!BBHI", s["type"], s["code"], 0, s.get("rest", 0)) + inner
        p = p[:2] + struct.pack("!H", csum(p)) + p[4:]
        pk = ipv4(s["src"], socket.inet_ntoa(inner[12:16]), 1, p, ident=3, df=False)
        c = self.caps.get("dip")
        if c: c[0].drain(); mark = len(c[0].pk)
        r = self.rawsend(pk, s)
        r["sent"] = describe(pk)
        if c:
            c[0].drain()
            r["dip_side"] = [describe(d[14:]) for ts, d in c[0].pk[mark:] if d[12:14] == b"\x08\x00"]
        return r

    def inner6(self, pk, dst, s):
        for ts, d in reversed(pk):
            if d[12:14] == b"\x86\xdd" and is_ip(d) and d[38:54] == socket.inet_pton(socket.AF_INET6, dst) and d[20] == s["proto"]:
                return d[14:14 + 40 + s.get("inner", 8)]

    def icmp6(self, src, inner, s):
        dst = socket.inet_ntop(socket.AF_INET6, inner[8:24])
        p = struct.pack("!BBHI", s["type"], s["code"], 0, s.get("rest", 0)) + inner
        p = p[:2] + struct.pack("!H", csum(pseudo(src, dst, 58, len(p)) + p)) + p[4:]
        return ipv6(src, dst, 58, p)

    def icmp6_from_rs(self, s, c):
        a = self.plan["rs6"][int(s["rs"][-1]) - 1]
        inner = self.inner6(c.pk, a, s)
        if inner is None: return {"error": "no packet seen"}
        pk = self.icmp6(a, inner, s)
        with self.ns(s["rs"]):
            t = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86dd)); t.bind(("eth0", 0x86dd))
        self.rawopen(); self.rawdrain()
        if s.get("offload"):           # leave the checksum to the device (PACKET_VNET_HDR, needs header option "txcsum"): the director then takes it as checked
            t.setsockopt(263, 15, 1)
            pk = pk[:42] + struct.pack("!H", ~csum(pk[8:40] + struct.pack("!II", len(pk) - 40, 58)) & 0xffff) + pk[44:]
            t.send(struct.pack("<BBHHHH", 1, 0, 0, 0, 54, 2) + macb(MAC["dip0"]) + macb(MAC[s["rs"]]) + b"\x86\xdd" + pk)
        else: t.send(macb(MAC["dip0"]) + macb(MAC[s["rs"]]) + b"\x86\xdd" + pk)
        t.close()
        return {"sent": describe(pk), "back": self.rawback(s)}

    def icmp6_from_client(self, s):
        inner = self.inner6([x for x in (sorted(self.rawcap.pk + self.rawcap2.pk) if self.rawcap2 else self.rawcap.pk) if x[1][6:12] != macb(MAC["cl0"])], s["src"], s)
        if inner is None: return {"error": "no packet seen"}
        pk = self.icmp6(s["src"], inner, s)
        c = self.caps.get("dip")
        if c: c[0].drain(); mark = len(c[0].pk)
        r = self.rawsend(pk, s)
        r["sent"] = describe(pk)
        if c:
            c[0].drain()
            r["dip_side"] = [describe(d[14:]) for ts, d in c[0].pk[mark:] if is_ip(d)]
        return r

    # -- captures
    def op_cap(self, s):
        """start: capture on director interface vip0 / dip0 (id vip|dip) or rsN/eth0"""
        n, i = {"vip": ("dr", "vip0"), "dip": ("dr", "dip0"), "cl": ("cl", "cl0"), "ret": ("cl", "clr0")}.get(s["id"], (s["id"], "eth0"))
        self.caps[s["id"]] = [Cap(self.ns, n, i)]
        return {}

    def op_capshow(self, s):
        """packets on a running capture since the last capshow, one line each"""
        c = self.caps[s["id"]]; mark = c[1] if len(c) > 1 else 0
        time.sleep(s.get("settle", 0.05))
        c[0].drain()
        mac = lambda d: "%s>%s " % (d[6:12].hex(":")[-5:], d[:6].hex(":")[-5:]) if s.get("mac") else ""
        out = [mac(d) + self.relabel(describe(d[14:])) for ts, d in c[0].pk[mark:] if is_ip(d)]
        c[1:] = [len(c[0].pk)]
        return {"packets": out}

    def op_capsave(self, s):
        time.sleep(s.get("settle", 0.05))
        r = {}
        for i in s["ids"]:
            fn = "%s.%s.pcap" % (self.sc["name"], i)
            os.makedirs(self.a.pcaps, exist_ok=True)
            r[fn] = self.caps[i][0].write(os.path.join(self.a.pcaps, fn), is_ip)
        return {"saved": r}

    def op_mark(self, s):
        """firewall mark by destination in the director (iptables by default, --mark-cmd for another way)"""
        h = s["dst"]; mc = self.a.mark_cmd.replace("iptables-legacy", "ip6tables-legacy") if ":" in h else self.a.mark_cmd
        m = "-d " + h + (" -p " + s["proto"] if s.get("proto") else "") + (" --dport " + str(s["dport"]) if s.get("dport") else "")
        c = mc.format(match=m, family="-6" if ":" in h else "-4", mark=s["mark"], dst=h, proto=s.get("proto", ""), dport=s.get("dport", ""))
        rc, o, e = self.ns.run("dr", ["/bin/sh", "-c", c])
        return {"ok": 1} if rc == 0 else {"rc": rc, "err": (o + e).splitlines()}

    def op_mtu(self, s):
        n, i = {"vip": ("dr", "vip0"), "dip": ("dr", "dip0"), "cl": ("cl", "cl0")}.get(s["if"], (s["if"], "eth0"))
        rc, o, e = self.ns.run(n, ["ip", "link", "set", i, "mtu", str(s["mtu"])])
        return {"rc": rc}

    def op_note(self, s): return {}

    def op_throughput(self, s):
        return THROUGHPUT(self, s)

    def due(self):
        """seconds from the first step to each: those of the record with --pace, else no waiting"""
        if not self.a.pace: return [0] * len(self.sc["steps"])
        with open(self.a.pace) as f: at = [x["at"] for x in json.load(f)["steps"]]
        return [x - at[0] for x in at] if len(at) == len(self.sc["steps"]) else [0] * len(self.sc["steps"])

    def run(self):
        rec = {k: self.sc[k] for k in self.sc if k != "steps"}
        rec["steps"] = []
        due = self.due()
        t0 = time.time()
        try:
            self.start()
            first = time.time()
            for i, st in enumerate(self.sc["steps"]):
                time.sleep(max(0, first + due[i] - time.time()))
                t = time.time()
                try:
                    r = getattr(self, "op_" + st["op"])(st)
                except Exception as e:
                    r = {"runner_error": repr(e)}
                rec["steps"].append({"step": st, "at": round(t - t0, 2), "result": r})
        finally:
            self.stop()
        if self.daemon: rec["director_exit"] = self.director_exit
        return rec

def THROUGHPUT(r, s):
    return {"runner_error": "not built"}

# ----------------------------------------------------------------------------- text form
def short(v):
    if isinstance(v, str) and len(v) > 160: return v[:120] + "... (%d characters)" % len(v)
    if isinstance(v, list) and len(v) > 6: return "[%s, %s ... %s] (%d)" % (v[0], v[1], v[-1], len(v))
    return json.dumps(v) if isinstance(v, (list, dict)) else str(v).replace("\n", "\\n")

def brief(st):
    o = st["op"]
    if o in ("dir", "show"):
        a = st["args"]; return "$ director " + (a if isinstance(a, str) else " ".join(a))
    if o == "dirs": return "\n".join("$ director " + c for c in st["cmds"])
    return "> " + o + " " + " ".join("%s=%s" % (k, short(v)) for k, v in st.items() if k not in ("op",))

def totext(rec):
    L = ["# %s" % rec["name"]] + (["# " + rec["why"]] if rec.get("why") else []) + ["# plan: " + rec.get("plan", "open"), ""]
    for x in rec["steps"]:
        st, r = x["step"], x["result"]
        if st["op"] == "note": L += ["", "## " + st["text"]]; continue
        L.append(brief(st))
        if "stdin" in st: L += ["  | " + l for l in st["stdin"].splitlines()]
        for k, v in r.items():
            if k == "out": L += ["    " + l for l in v]
            elif k == "err": L += ["  2> " + l for l in v]
            elif k == "rc":
                if v: L.append("  exit status %d" % v)
            elif k == "picks": L.append("    " + " ".join(v))
            elif k == "released": L.append("    released: " + " ".join(v))
            elif isinstance(v, list): L += ["    %s: %s" % (k, json.dumps(l) if isinstance(l, dict) else l) for l in v] or ["    %s: (none)" % k]
            elif isinstance(v, str): L.append("    %s: %s" % (k, v.replace("\n", "\\n")))
            else: L.append("    %s: %s" % (k, v))
    return "\n".join(L) + "\n"

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("scenario", nargs="*", help="scenario JSON files")
    ap.add_argument("--director-cmd", default="ipvsadm", help="command that configures the director, run in the director namespace")
    ap.add_argument("--director-start", default="", help="daemon to start in the director namespace before the steps; {vip_if} {dip_if} {dip} {netns} are filled in")
    ap.add_argument("--mark-cmd", default="iptables-legacy -t mangle -A PREROUTING {match} -j MARK --set-mark {mark}")
    ap.add_argument("--sysctl-cmd", default="", help="how net.ipv4.vs.* is set in the director; {key} {value} are filled in (default: the kernel's own file)")
    ap.add_argument("--director-wait", type=float, default=0.5)
    ap.add_argument("--director-ready", default="", help="shell command tried in the director namespace until it succeeds, instead of --director-wait")
    ap.add_argument("--director-setup", default="", help="shell command run in the director namespace after it is built")
    ap.add_argument("--vip-mode", choices=["local", "route"], default="local",
                    help="local: VIPs are addresses of the director's VIP interface (kernel IPVS needs this); route: they are not, the client has a route to them")
    ap.add_argument("--forward", type=int, default=1, help="ip_forward in the director namespace")
    ap.add_argument("--prefix", default="ora-", help="prefix of namespace names")
    ap.add_argument("--out", default="out"); ap.add_argument("--pcaps", default="")
    ap.add_argument("--pace", default="", metavar="RECORD", help="give no step earlier than it was given in that record, so that expiry times can be compared")
    ap.add_argument("--topo-only", metavar="PLAN", help="build the topology for PLAN (open, own), start the servers and wait for Enter")
    ap.add_argument("--retext", action="store_true", help="arguments are records: write their .txt again")
    a = ap.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if a.retext:
        for f in a.scenario:
            open(f[:-5] + ".txt", "w").write(totext(json.load(open(f))))
        return
    a.pcaps = a.pcaps or os.path.join(a.out, "pcaps")
    os.makedirs(a.out, exist_ok=True)
    if a.topo_only:
        r = Runner(a, {"name": "topo", "plan": a.topo_only, "steps": []}); r.start()
        print("namespaces: " + " ".join(r.ns.name(n) for n in r.ns.fd)); sys.stdin.readline(); r.stop(); return
    fail = 0
    for f in a.scenario:
        sc = json.load(open(f))
        t = time.time()
        clean(a.prefix)
        try:
            rec = Runner(a, sc).run()
        except Exception as e:
            print("FAIL %s: %r" % (f, e), flush=True); fail += 1
            clean(a.prefix)
            continue
        except BaseException:                      # interrupted: leave nothing behind
            clean(a.prefix)
            raise
        rec["director"] = a.director_cmd
        rec["kernel"] = os.uname().release
        b = os.path.join(a.out, sc["name"])
        with open(b + ".json", "w") as o:
            o.write('{\n')
            for k, v in rec.items():
                if k != "steps": o.write(" %s: %s,\n" % (json.dumps(k), json.dumps(v)))
            o.write(' "steps": [\n' + ",\n".join("  " + json.dumps(x) for x in rec["steps"]) + "\n ]\n}\n")
        with open(b + ".txt", "w") as o: o.write(totext(rec))
        ne = sum("runner_error" in x["result"] for x in rec["steps"])
        print("%-44s %5.1fs%s" % (sc["name"], time.time() - t, " RUNNER-ERRORS %d" % ne if ne else ""), flush=True)
    sys.exit(1 if fail else 0)

if __name__ == "__main__":
    main()
