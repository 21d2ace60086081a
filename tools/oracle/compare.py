#!/usr/bin/env python3
"""Compare records of two directors case by case.   compare.py ORACLE_DIR OTHER_DIR [-v] [--only WORD]

Both folders hold records written by oracle.py from the same scenario files.  Normalised before comparing:
the director's program name in messages, order of -Lnc rows, expiry within --slack seconds, random server
sequence numbers and kernel-chosen IP idents.  Trailing blanks of lines count only with --strict.
run.py uses the same functions on the records that it has just made.
"""
import argparse, glob, json, os, re, sys

CONN = re.compile(r"^(\w+) +(\d+):(\d+)(?::(\d+))? +(.*)$")
NUMS = re.compile(r"^(.*?\S) +(\S+) +(\S+) +(\S+) +(\S+) +(\S+)$")
UNCOMPARED = ("exec", "readfile", "mark", "sysctl", "note", "mtu", "cap", "capsave")     # steps that only prepare

def pkt(l):
    l = re.sub(r" UDP \d+>8848 ", " UDP *>8848 ", l)              # the sync daemon's own port
    return re.sub(r"\b(seq|ack)=(s\+)?\d+", lambda m: m.group(0) if m.group(2) else m.group(1) + "=*", l)

def conn_rows(x):
    """(rows of -Lnc without their expiry, with it in seconds; sorted), other lines"""
    rows, other = [], []
    for l in x:
        m = CONN.match(l)
        if m:
            h = [int(g) for g in (m.group(2), m.group(3), m.group(4)) if g is not None]
            t = h[0] * 60 + h[1] if len(h) == 2 else h[0] * 3600 + h[1] * 60 + h[2]
            rows.append((m.group(1) + " " + " ".join(m.group(5).split()), t))
        else: other.append(l)
    return sorted(rows), other

def numeric(x, y, rate):
    """--stats: Conns exact, packets within 2 or 3 %, bytes within 150 or 5 % (ordinary TCP stacks merge ACKs differently);
    --rate: labels only"""
    if len(x) != len(y): return "%d lines / %d lines" % (len(x), len(y))
    for i, (p, q) in enumerate(zip(x, y)):
        if p == q: continue
        a, b = NUMS.match(p), NUMS.match(q)
        if not a or not b or a.group(1) != b.group(1): return "line %d: %r / %r" % (i + 1, p, q)
        if rate: continue
        for j in range(2, 7):
            u, v = a.group(j), b.group(j)
            if u == v: continue
            try: m, n = int(u), int(v)
            except ValueError: return "line %d: %r / %r" % (i + 1, p, q)
            slack = 0 if j == 2 else max(2, .03 * m) if j < 5 else max(150, .05 * m)
            if abs(m - n) > slack: return "line %d: %r / %r" % (i + 1, p, q)
    return None

def blocks(x):
    """service order of an unsorted listing depends on a per-boot hash: compare services as a set, servers in order"""
    head, bl = x[:3], []
    for l in x[3:]:
        if l.startswith(" ") and bl: bl[-1].append(l)
        else: bl.append([l])
    return head + [l for b in sorted(bl) for l in b]

class Comparer:
    def __init__(self, slack=3, strict=False, names="ipvsadm,natlb,Natlb"):
        self.slack, self.strict = slack, strict
        self.names = re.compile("|".join(re.escape(n) for n in names.split(",")))

    def lines(self, x):
        x = [self.names.sub("@", l) for l in x or []]
        return x if self.strict else [l.rstrip() for l in x]

    def text(self, x, y):
        """program output: connection rows as a set with their expiry, everything else line by line"""
        x, y = self.lines(x), self.lines(y)
        (rx, ox), (ry, oy) = conn_rows(x), conn_rows(y)
        if ox != oy:
            for i in range(max(len(ox), len(oy))):
                p, q = (ox[i] if i < len(ox) else "<end>"), (oy[i] if i < len(oy) else "<end>")
                if p != q: return "line %d: %r / %r" % (i + 1, p, q)
        if [r for r, _ in rx] != [r for r, _ in ry]:
            sx, sy = set(r for r, _ in rx), set(r for r, _ in ry)
            return "rows only in oracle %s, only in other %s" % (sorted(sx - sy)[:4], sorted(sy - sx)[:4])
        for (r, s), (_, t) in zip(rx, ry):
            if abs(s - t) > self.slack: return "expiry of %r: %d s / %d s" % (r, s, t)
        return None

    def diff(self, k, x, y, step):
        """None when field k of a step's result is equal, else a short reason: oracle's / the other's"""
        if x is None or y is None: return None if x == y else "%r / %r" % (x, y)
        args = str(step.get("args", ""))
        if k == "out" and not self.strict and re.search("--(stats|rate)", args):
            return numeric(self.lines(x), self.lines(y), "--rate" in args and "--stats" not in args)
        if k == "out" and "--nosort" in args: x, y = blocks(x), blocks(y)
        if k in ("out", "err"): return self.text(x, y)
        if k == "picks":
            if x == y: return None
            n = next((i for i in range(min(len(x), len(y))) if x[i] != y[i]), min(len(x), len(y)))
            c = lambda v: {w: v.count(w) for w in sorted(set(v), key=str)}
            return "first difference at pick %d (%s / %s); totals %s / %s" % (n + 1, x[n:n + 1], y[n:n + 1], c(x), c(y))
        if k in ("back", "packets", "dip_side", "sent"):
            nx = [pkt(l) for l in (x if isinstance(x, list) else [x])]; ny = [pkt(l) for l in (y if isinstance(y, list) else [y])]
            return None if nx == ny else "%s / %s" % ([l for l in nx if l not in ny][:3], [l for l in ny if l not in nx][:3])
        return None if x == y else "%r / %r" % (x, y)

    def record(self, ra, rb):
        """(steps compared, [(index, step, [(field, reason)])]); None when the scenarios are not the same version"""
        if [x["step"] for x in ra["steps"]] != [x["step"] for x in rb["steps"]]: return None
        n, bad = 0, []
        get = lambda r, k: r["result"].get(k, [] if k in ("out", "err", "back", "packets") else None)
        for i, (sa, sb) in enumerate(zip(ra["steps"], rb["steps"])):
            if sa["step"]["op"] in UNCOMPARED: continue
            n += 1
            ks = [k for k in sorted(set(sa["result"]) | set(sb["result"])) if k != "saved"]
            ds = [(k, d) for k in ks for d in [self.diff(k, get(sa, k), get(sb, k), sa["step"])] if d]
            if ds: bad.append((i, sa["step"], ds))
        return n, bad

def step_text(st):
    return json.dumps({k: v for k, v in st.items() if k != "src"})[:140]

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("a"); ap.add_argument("b"); ap.add_argument("-v", action="store_true"); ap.add_argument("--only", default="")
    ap.add_argument("--slack", type=float, default=3); ap.add_argument("--strict", action="store_true")
    ap.add_argument("--names", default="ipvsadm,natlb,Natlb")
    a = ap.parse_args()
    cmp, tot = Comparer(a.slack, a.strict, a.names), {}
    for f in sorted(glob.glob(os.path.join(a.a, "*.json"))):
        if a.only and a.only not in f: continue
        ra = json.load(open(f)); g = os.path.join(a.b, os.path.basename(f)); t = tot.setdefault(ra.get("group", "?"), [0, 0, 0])
        if not os.path.exists(g):
            t[2] += 1; print("MISSING  %s" % ra["name"]); continue
        r = cmp.record(ra, json.load(open(g)))
        if r is None:
            t[2] += 1; print("STALE    %s (recorded from different versions of the scenario)" % ra["name"]); continue
        n, bad = r
        t[0] += n; t[1] += len(bad)
        print("%-8s %s%s" % ("same" if not bad else "DIFF", ra["name"], "" if not bad else " (%d steps)" % len(bad)))
        if a.v:
            for i, st, ds in bad:
                print("    step %d %s" % (i, step_text(st)))
                for k, d in ds: print("        %s: %s" % (k, d[:400]))
    print()
    for g in sorted(tot): print("%s: %d steps compared, %d differ, %d scenarios missing" % (g, *tot[g]))
    sys.exit(1 if any(t[1] or t[2] for t in tot.values()) else 0)

if __name__ == "__main__":
    main()
