#!/usr/bin/env python3
"""Measure director variants interleaved in the lab.

  measure.py [--reps 5] [--only http,iperf,udp] [--offload on,off,nocsum] [--secs 3] [--out FILE.json] VARIANT...

A variant is a name in variants/ or a path to a file of the same shape. Every repetition runs every variant once,
in an order rotated by the repetition, so a slow spell of the machine hits all of them. Prints medians, in round
brackets the median of the ratios to the first variant of the same repetition, in square brackets the smallest and
largest value; writes every single value to --out.
"""
import argparse, json, os, re, statistics, subprocess, sys, time

LAB = os.path.dirname(os.path.abspath(__file__))
P = os.environ.get("P", "bl")
RUN = os.environ.get("RUN_DIR", f"/tmp/natlb-lab-{P}")
CLI, DIR, RS1, RS2 = P + "cli", P + "dir", P + "rs1", P + "rs2"
HZ = os.sysconf("SC_CLK_TCK")


def sh(cmd, ns=None, timeout=60):
    full = (["ip", "netns", "exec", ns] if ns else []) + cmd
    try:
        r = subprocess.run(full, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:  # its figures are then 0, its errors 1
        print(f"# hung for {timeout} s: {' '.join(full)}", file=sys.stderr, flush=True)
        return ""
    return r.stdout + (r.stderr if r.returncode else "")


def director(variant, verb):
    r = subprocess.run([LAB + "/director.sh", variant, verb], stdout=subprocess.PIPE, text=True)
    return r.stdout.strip()


def busy():  # busy CPU seconds of the whole machine (includes softirq)
    f = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return (sum(f[:8]) - f[3] - f[4]) / HZ


def proc_cpu(pid):
    if not pid:
        return 0.0
    try:
        s = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(s[11]) + int(s[12])) / HZ
    except (OSError, ValueError):
        return 0.0


PAYLOAD, HEADERS = 18, 28         # bytes of a flood's datagram, and of the IP and UDP headers in front


def rx_packets():
    """datagrams that met the sink of both servers. A director may send several as one super-packet, which the sink counts once
    and with its headers once: so the payload is counted"""
    n = 0
    for ns in (RS1, RS2):
        o = sh(["nft", "list", "chain", "netdev", "sink", "in"], ns)
        packets, size = map(int, re.search(r"packets (\d+) bytes (\d+)", o).groups())
        n += (size - HEADERS * packets) // PAYLOAD
    return n


def unit(v, u):
    return float(v) * {"us": 1, "ms": 1e3, "s": 1e6}[u]


def wrk(target, conns, secs, close=False):
    c = ["wrk", "-t1", f"-c{conns}", f"-d{secs}", "--latency"] + (["-H", "Connection: close"] if close else [])
    o = sh(c + [f"http://{target}/"], CLI)
    rs = re.search(r"Requests/sec:\s+([\d.]+)", o)
    p50 = re.search(r"50%\s+([\d.]+)(us|ms|s)", o)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", o)
    er = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", o)
    return (float(rs.group(1)) if rs else 0.0, unit(*p50.groups()) if p50 else None,
            unit(*p99.groups()) if p99 else None, sum(map(int, er.groups())) if er else 0 if rs else 1)


def iperf(target, streams, secs, reverse=False):
    c = ["iperf3", "-c", target, "-t", str(secs), "-P", str(streams), "-J", "--connect-timeout", "2000"]
    o = sh(c + (["-R"] if reverse else []), CLI)
    time.sleep(0.2)
    try:
        j = json.loads(o)
        return j["end"]["sum_received"]["bits_per_second"] / 1e9
    except (ValueError, KeyError):
        return 0.0


def flood(target, secs, pps, flows=64):
    a = rx_packets()
    o = sh([RUN + "/flood", target, "9999", str(secs), str(pps), str(flows), str(PAYLOAD)], CLI)
    time.sleep(0.15)
    m = re.search(r"sent=(\d+) secs=([\d.]+)", o)
    if not m:
        return 0.0, 0.0, 1.0, 1, 0
    sent, t = int(m.group(1)), float(m.group(2))
    got = rx_packets() - a
    return sent / t, got / t, 1 - got / sent if sent else 1.0, sent, got


def udp_no_loss(target, start, secs=1.0, limit=0.005):
    """highest offered rate with a loss under `limit`, by bisection between 0 and the flood's own maximum"""
    lo, hi, best = 0.0, start * 1.05, 0.0
    for _ in range(6):
        mid = (lo + hi) / 2
        off, got, loss, *_ = flood(target, secs, mid)
        if loss <= limit:
            lo, best = mid, max(best, got)
            if off < mid * 0.97:  # the generator itself cannot offer more
                break
        else:
            hi = mid
    return best


def one(variant, a, mode):
    r = {}
    t = director(variant, "target")
    udp = director(variant, "has-udp") == "yes"
    director(variant, "up")
    pid = director(variant, "pid")
    try:
        time.sleep(0.2)
        # warm up ARP and the path
        wrk(t, 1, 1)
        if "iperf" in a.only:
            for name, st, rev in (("tcp1", 1, False), ("tcp8", 8, False), ("tcp1R", 1, True), ("tcp8R", 8, True)):
                b0, p0 = busy(), proc_cpu(pid)
                r[name + "_gbps"] = iperf(t, st, a.secs, rev)
                if name == "tcp1" and r[name + "_gbps"]:
                    gb = r[name + "_gbps"] * a.secs / 8
                    r["tcp1_total_cpu_s_per_GB"] = (busy() - b0) / gb
                    if pid:
                        r["tcp1_dir_cpu_s_per_GB"] = (proc_cpu(pid) - p0) / gb
        if "http" in a.only and mode != "off":
            r["conn_per_s"], r["conn_p50_us"], r["conn_p99_us"], r["conn_err"] = wrk(t, 64, a.secs, True)
            r["req_per_s"], r["req_p50_us"], r["req_p99_us"], r["req_err"] = wrk(t, 32, a.secs)
            r["rtt1_per_s"], r["rtt1_p50_us"], r["rtt1_p99_us"], _ = wrk(t, 1, a.secs)
        if "udp" in a.only and mode != "off" and udp:
            off, got, loss, *_ = flood(t, 2, 0)
            r["udp_offered_kpps"], r["udp_max_kpps"], r["udp_max_loss"] = off / 1e3, got / 1e3, loss
            if "search" in a.only:
                r["udp_noloss_kpps"] = udp_no_loss(t, off) / 1e3
            b0, p0 = busy(), proc_cpu(pid)
            off, got, loss, sent, g = flood(t, 2, 100000)
            r["udp100k_loss"] = loss
            r["udp100k_total_cpu_s_per_Mpkt"] = (busy() - b0) / sent * 1e6
            if pid:
                r["udp100k_dir_cpu_s_per_Mpkt"] = (proc_cpu(pid) - p0) / sent * 1e6
    finally:
        director(variant, "down")
    return r


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--reps", type=int, default=5)
    ap.add_argument("--secs", type=int, default=3)
    ap.add_argument("--only", default="iperf,http,udp,search")
    ap.add_argument("--offload", default="on,off")
    ap.add_argument("--out", default="")
    ap.add_argument("variants", nargs="+")
    a = ap.parse_args()
    a.only = a.only.split(",")
    data = {}
    for mode in a.offload.split(","):
        for rep in range(a.reps):
            k = rep % len(a.variants)
            for v in a.variants[k:] + a.variants[:k]:
                subprocess.run([LAB + "/lab.sh", "offload", mode])
                t0 = time.time()
                res = one(v, a, mode)
                for key, val in res.items():
                    if val is not None:
                        data.setdefault(f"{key}[offload {mode}]", {}).setdefault(v, []).append(val)
                print(f"# {mode} rep {rep} {v}: {time.time()-t0:.0f} s", file=sys.stderr, flush=True)
                if a.out:
                    json.dump(data, open(a.out, "w"), indent=1)
    subprocess.run([LAB + "/lab.sh", "offload", "on"])
    names = [os.path.basename(v).removesuffix(".sh") for v in a.variants]
    print("| metric | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for key, per in data.items():
        ref = per.get(a.variants[0])
        row = []
        for v in a.variants:
            if v not in per:
                row.append("-")
                continue
            m = statistics.median(per[v])
            pairs = [x / y for x, y in zip(per[v], ref) if y] if ref and len(ref) == len(per[v]) else []
            row.append(f"{m:.4g}" + (f" ({statistics.median(pairs):.2f})" if pairs else "")
                       + f" [{min(per[v]):.3g}..{max(per[v]):.3g}]")
        print(f"| {key} | " + " | ".join(row) + " |")


main()
