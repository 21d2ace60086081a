#!/usr/bin/env python3
"""Play the natlb binary through the recorded scenarios in parallel and compare with what kernel IPVS did.

  run.py                          the scenarios of covered.txt, natlb owns the VIPs
  run.py --set own                the same of the second set of recordings
  run.py --only 'o-tcp-*' -v      one family, with every differing step
  run.py --vip-mode local --forward 1      the host owns the VIPs: the guard at work

What needs SCTP or a tunnel of IPv6 is played in the guest (user-mode-linux), with natlb in it, where the host's kernel has none.
Every worker has its own namespaces (prefix) and its own control socket, so runs do not see each other. Prints a table
by group (identical / explained / different) and the differing steps; the records stay in --out.
Exit status: 0 when every difference is explained, 1 otherwise, 2 when it could not run. Needs root, iproute2, Python 3.9+.
"""
import argparse, collections, fnmatch, functools, glob, json, os, re, shlex, shutil, signal, socket, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
import compare, oracle

SETS = ("open", "own")            # recorded with different addresses, weights, ports and orders
KINDS = ("later", "difference", "unstable")
GUEST_SLACK = 20                  # seconds that expiry times may differ where natlb plays in the guest: it lags behind on a busy machine
AGAIN = 3                         # how often a scenario is played again whose difference may come of the load
FIRM = ("picks",)                 # a field that no load on the machine can change: such a difference is never played again

# the director's link-local addresses are good: until then its kernel asks nobody for a neighbour
NO_DAD = " && ! ip -6 addr show tentative | grep -q inet6"

Explanation = collections.namedtuple("Explanation", "line glob steps kind reason")     # steps: a set, or None for all


# ------------------------------------------------------------------ data files
def read_lines(path):
    with open(path) as f:
        for n, l in enumerate(f, 1):
            l = l.strip()
            if l and not l.startswith("#"):
                yield n, l


def load(path):
    with open(path) as f:
        return json.load(f)


def set_of(name):
    """a name is in one set only"""
    return "own" if name.startswith("w-") else "open"


def record(name):
    return os.path.join(HERE, "records", set_of(name), name + ".json")


def recorded(name):
    return load(record(name))


def covered(names):
    """the names that covered.txt lists, in their order"""
    keep = set()
    for n, g in read_lines(os.path.join(HERE, "covered.txt")):
        hit = set(fnmatch.filter(names, g.lstrip("!")))
        if not hit:
            sys.exit("covered.txt:%d: %s matches no scenario" % (n, g))
        keep = keep - hit if g.startswith("!") else keep | hit
    return [n for n in names if n in keep]


def steps_of(text):
    """'*' -> None (all), '3,7,10-12,exit' -> a set"""
    if text == "*":
        return None
    r = set()
    for w in text.split(","):
        m = re.fullmatch(r"(\d+)(?:-(\d+))?", w)
        if m:
            r.update(range(int(m.group(1)), int(m.group(2) or m.group(1)) + 1))
        elif w == "exit":
            r.add(w)
        else:
            raise ValueError("steps %r" % text)
    return r


def explanations(vip_mode):
    """the lines of explained.txt that hold in this VIP mode"""
    r = []
    for n, l in read_lines(os.path.join(HERE, "explained.txt")):
        try:
            g, s, reason = l.split(None, 2)
            kind = reason.split(":")[0]
            if kind not in KINDS or not reason[len(kind) + 1:].strip():
                raise ValueError("kind must be one of %s, with a reason after the colon" % ", ".join(KINDS))
            g, _, mode = g.partition("@")
            if mode not in ("", "route", "local"):
                raise ValueError("@%s is no VIP mode" % mode)
            if mode in ("", vip_mode):
                r.append(Explanation(n, g, steps_of(s), kind, reason))
        except ValueError as e:
            sys.exit("explained.txt:%d: %s" % (n, e))
    return r


# ------------------------------------------------------------------ the guest
SHIM = os.path.join(ROOT, "out", "umlfp.so")


@functools.cache
def has_sctp():
    """whether this host's kernel has SCTP"""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
        return True
    except OSError:
        return False


@functools.cache
def has_ip6tnl():
    """whether this host's kernel has tunnels of IPv6: then one device is there from the beginning"""
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "ip6_tunnel"], stderr=subprocess.DEVNULL)
    return os.path.exists("/proc/sys/net/ipv6/conf/ip6tnl0")


@functools.cache
def in_guest(name):
    s = load(scenario(name))
    return bool(s.get("sctp")) and not has_sctp() or "ip6tnl" in s.get("tun", []) and not has_ip6tnl()


def make_shim():
    """what run-guest.sh makes by itself, but not for several guests at a time; False without a guest"""
    if not shutil.which("linux.uml") or not shutil.which("gcc"):
        return False
    os.makedirs(os.path.dirname(SHIM), exist_ok=True)
    return subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", SHIM, os.path.join(HERE, "umlfp.c")]).returncode == 0


# ------------------------------------------------------------------ playing
class Worker:
    """one scenario at a time in namespaces PREFIX0..., PREFIX1..., each with its own socket"""

    def __init__(self, a, i, sockets):
        self.a, self.p, self.name, self.guest = a, None, None, None
        self.prefix = "%s%d-" % (a.prefix, i)
        self.socket = os.path.join(sockets, "w%d.sock" % i)

    def start(self, name):
        a = self.a
        natlb = os.path.basename(a.natlb)
        self.guest = os.path.join(a.out, "guest-" + name) if in_guest(name) else None     # a guest's folder
        cmd = [sys.executable, os.path.join(HERE, "oracle.py"), "--out", "/run/out" if self.guest else a.out, "--prefix", self.prefix,
               "--vip-mode", a.vip_mode, "--forward", str(a.forward), "--pace", record(name)]
        if a.director_cmd:                             # another director, started by nobody: to try the runner itself
            cmd += ["--director-cmd", a.director_cmd]
        else:
            cmd += ["--director-cmd", natlb, "--director-start", natlb + " run --vip-if {vip_if} --dip-if {dip_if} " + a.run_args,
                    "--director-ready", natlb + " -L -n" + (NO_DAD if load(scenario(name)).get("v6") else ""), "--sysctl-cmd", natlb + " sysctl {key}={value}",
                    "--mark-cmd", natlb + " mark {family} -A PREROUTING {match} -j MARK --set-mark {mark}"]
        env = dict(os.environ, NATLB_SOCKET=self.socket, PATH=os.path.dirname(a.natlb) + os.pathsep + os.environ["PATH"],
                   PYTHONDONTWRITEBYTECODE="1")
        self.name, self.end = name, time.time() + limit(name)
        self.log = os.path.join(a.out, name + ".log")
        cmd += [scenario(name)]
        if self.guest:
            shutil.rmtree(self.guest, ignore_errors=True)
            job = "NATLB_SOCKET=/run/natlb.sock PATH=%s:$PATH %s" % (shlex.quote(os.path.dirname(a.natlb)), shlex.join(cmd))
            cmd = [os.path.join(HERE, "run-guest.sh"), self.guest, "-c", job]
            env.update(ORA_SHIM=SHIM, ORA_LIMIT=str(int(limit(name))))
        with open(self.log, "w") as log:
            self.p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=bool(self.guest),
                                      preexec_fn=lambda: oracle.die_with_parent(signal.SIGTERM))

    def done(self):
        if self.p.poll() is None and time.time() > self.end:
            self.stop()
            with open(self.log, "a") as log:
                log.write("stopped after %d s\n" % limit(self.name))
        if self.p.poll() is None:
            return False
        if self.guest and os.path.isdir(self.guest):
            for f in glob.glob(os.path.join(glob.escape(self.guest), glob.escape(self.name) + ".*")):
                os.replace(f, os.path.join(self.a.out, os.path.basename(f)))
        return True

    def stop(self):
        if self.p and self.p.poll() is None:
            tell = (lambda sig: os.killpg(self.p.pid, sig)) if self.guest else self.p.send_signal
            tell(signal.SIGTERM)
            try:
                self.p.wait(15)
            except subprocess.TimeoutExpired:
                tell(signal.SIGKILL)
                self.p.wait()

    def clean(self):
        oracle.clean(self.prefix)


def limit(name):
    """seconds a scenario may take: four times what it took when it was recorded, at least a minute; in a guest, which is slow, more"""
    return max(60, 4 * recorded(name)["steps"][-1]["at"]) * (3 if in_guest(name) else 1)


def scenario(name):
    return os.path.join(HERE, "scenarios", set_of(name), name + ".json")


def play(a, names, njobs, report):
    """plays names on njobs workers, calls report(name) as each one ends; the longest recordings go first"""
    todo = sorted(names, key=lambda n: -recorded(n)["steps"][-1]["at"])
    sockets = tempfile.TemporaryDirectory(prefix="natlb-ora-")      # a socket's path must be short
    workers = [Worker(a, i, sockets.name) for i in range(min(njobs, len(todo)))]
    for w in workers:
        w.clean()
    try:
        busy = []
        free = list(workers)
        while todo or busy:
            while free:
                one = any(w.guest for w in busy)       # guest at a time: they are slow enough alone
                name = next((n for n in todo if not (one and in_guest(n))), None)
                if name is None:
                    break
                todo.remove(name)
                w = free.pop()
                w.start(name)
                busy.append(w)
            for w in [w for w in busy if w.done()]:
                busy.remove(w)
                free.append(w)
                report(w.name)
            time.sleep(0.05)
    finally:
        for w in workers:
            w.stop()
        for w in workers:
            w.clean()
        sockets.cleanup()


# ------------------------------------------------------------------ judging
class Judge:
    def __init__(self, a):
        self.a, self.why = a, explanations(a.vip_mode)
        self.cmp, self.guest_cmp = compare.Comparer(strict=a.strict), compare.Comparer(GUEST_SLACK, strict=a.strict)
        self.used = set()
        self.result = {}                               # name -> (group, steps compared, [(index, text, [(field, reason)], Explanation or None)])

    def differences(self, name):
        """(steps compared, [(index, step text, [(field, reason)])])"""
        ra = recorded(name)
        out = os.path.join(self.a.out, name + ".json")
        if not os.path.exists(out):
            with open(os.path.join(self.a.out, name + ".log"), errors="replace") as f:
                last = f.read().strip().splitlines()[-3:]
            return len(ra["steps"]), [("run", "not played", [("log", l) for l in last])]
        rb = load(out)
        r = (self.guest_cmp if in_guest(name) else self.cmp).record(ra, rb)
        if r is None:
            return len(ra["steps"]), [("run", "scenario and record are not of the same version", [])]
        n, bad = r
        bad = [(i, compare.step_text(st), ds) for i, st, ds in bad]
        if rb.get("director_exit"):
            bad.append(("exit", "the daemon's exit status", [("status", str(rb["director_exit"]))]))
        return n, bad

    def judge(self, name):
        group = load(scenario(name)).get("group", "?")
        n, bad = self.differences(name)
        out = []
        for i, text, ds in bad:
            e = next((e for e in self.why if i != "run" and fnmatch.fnmatch(name, e.glob) and (e.steps is None or i in e.steps)), None)
            if e:
                self.used.add(e.line)
            out.append((i, text, ds, e))
        self.result[name] = (group, n, out)

    def open_steps(self, name):
        return [b for b in self.result[name][2] if b[3] is None]

    def may_repeat(self, name):
        """only timing can differ between two runs: a pick, the daemon's end or a scenario that did not end are no matter of load.
        With several shards a pick is: one thread may schedule before another has read the end of the connection before"""
        firm = () if "--shards" in self.a.run_args else FIRM
        return all(isinstance(b[0], int) and k not in firm for b in self.open_steps(name) for k, _ in b[2])

    def stale(self):
        """explanations of scenarios that ran and needed no explaining"""
        return [e for e in self.why if e.kind != "unstable" and e.line not in self.used and any(fnmatch.fnmatch(n, e.glob) for n in self.result)]


def print_result(j, unstable, verbose):
    for name in sorted(j.result):
        _, _, bad = j.result[name]
        if not bad or not (verbose or j.open_steps(name)):
            continue
        print("\n%s  (log and record: %s)" % (name, os.path.join(j.a.out, name + ".*")))
        for i, text, ds, e in bad:
            if e and not verbose:
                continue
            print("  step %s %s%s" % (i, text, "   [explained: %s]" % e.reason if e else ""))
            for k, d in ds:
                print("      %s: %s" % (k, d if verbose else d[:300]))
    print("\n%-6s %9s %7s %10s %10s %10s" % ("group", "scenarios", "steps", "identical", "explained", "different"))
    total = [0] * 5
    for g in sorted({r[0] for r in j.result.values()}):
        row = [0] * 5
        for name, (group, n, bad) in j.result.items():
            if group == g:
                o = len(j.open_steps(name))
                for k, v in enumerate((1, n, n - len(bad), len(bad) - o, o)):
                    row[k] += v
        total = [x + y for x, y in zip(total, row)]
        print("%-6s %9d %7d %10d %10d %10d" % (g, *row))
    print("%-6s %9d %7d %10d %10d %10d" % ("all", *total))
    by = collections.Counter(b[3].reason for r in j.result.values() for b in r[2] if b[3])
    if by:
        print("\nexplained steps:")
        for reason, n in by.most_common():
            print("  %4d  %s" % (n, reason))
    for name, steps in sorted(unstable.items()):
        print("\nequal only when played again, alone: %s, steps %s" % (name, ", ".join(map(str, steps))))
    for e in j.stale():
        print("\nstale: explained.txt:%d (%s %s) matches no difference any more; remove it" % (e.line, e.glob, e.reason))


# ------------------------------------------------------------------ command line
def options():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--natlb", default=os.path.join(ROOT, "bin", "natlb"), help="the binary (default bin/natlb)")
    ap.add_argument("--set", choices=SETS, default=SETS[0], help="which recordings (default open)")
    ap.add_argument("--only", default="", metavar="GLOBS", help="only scenarios whose name matches one of these (commas between them)")
    ap.add_argument("--groups", default="", help="only these groups, e.g. 4a,4f")
    ap.add_argument("--all", action="store_true", help="every scenario, not only those of covered.txt")
    ap.add_argument("--list", action="store_true", help="print the chosen names and end")
    ap.add_argument("--jobs", type=int, default=4, help="workers (scenarios mostly wait; default 4)")
    ap.add_argument("--vip-mode", choices=["route", "local"], default="route", help="route: natlb owns the VIPs; local: the host does")
    ap.add_argument("--forward", type=int, choices=[0, 1], default=0, help="ip_forward of the director (default 0)")
    ap.add_argument("--run-args", default="", help="more arguments for natlb run")
    ap.add_argument("--strict", action="store_true", help="trailing blanks count")
    ap.add_argument("--no-repeat", action="store_true", help="do not play differing scenarios once more, alone")
    ap.add_argument("--out", default=os.path.join(ROOT, "out", "oracle"), help="folder of the records (emptied of earlier ones)")
    ap.add_argument("--prefix", default="natlb-ora", help="beginning of the namespaces' names")
    ap.add_argument("--director-cmd", default="", help="instead of natlb: a command, with no daemon (to try the runner)")
    ap.add_argument("-v", action="store_true", help="explained steps too, reasons uncut")
    a = ap.parse_args()
    a.natlb, a.out = os.path.abspath(a.natlb), os.path.abspath(a.out)
    return a


def choose(a):
    names = sorted(os.path.basename(f)[:-5] for s in SETS for f in glob.glob(os.path.join(HERE, "scenarios", s, "*.json")))
    names = [n for n in names if os.path.exists(record(n))]
    names = names if a.all else covered(names)
    names = [n for n in names if set_of(n) == a.set]
    if a.only:
        names = [n for n in names if any(fnmatch.fnmatch(n, g) for g in a.only.split(","))]
    if a.groups:
        names = [n for n in names if load(scenario(n)).get("group") in a.groups.split(",")]
    return names


def main():
    a = options()
    names = choose(a)
    if a.list:
        print("\n".join(names))
        return 0
    if not names:
        print("no scenario matches", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("oracle: needs root (network namespaces with fixed names): sudo make oracle", file=sys.stderr)
        return 2
    if not a.director_cmd and not os.access(a.natlb, os.X_OK):
        print("oracle: %s is not there: make build" % a.natlb, file=sys.stderr)
        return 2
    inside = [n for n in names if in_guest(n)]
    if inside and (a.vip_mode == "local" or not make_shim()):
        names = [n for n in names if n not in inside]
        why = "the guest has no nftables" if a.vip_mode == "local" else "there is no guest (Debian: apt-get install user-mode-linux gcc)"
        print("not played, this kernel lacks SCTP or tunnels of IPv6, and %s: %s" % (why, " ".join(inside)))
    os.makedirs(a.out, exist_ok=True)
    for f in glob.glob(os.path.join(a.out, "*.json")) + glob.glob(os.path.join(a.out, "*.txt")) + glob.glob(os.path.join(a.out, "*.log")):
        os.unlink(f)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    j, t0, count = Judge(a), time.time(), [0]

    def report(name):
        j.judge(name)
        count[0] += 1
        bad, left = j.result[name][2], len(j.open_steps(name))
        word = "same" if not bad else "explained" if not left else "DIFFERENT (%d steps)" % left
        print("[%*d/%d] %-36s %s" % (len(str(len(names))), count[0], len(names), name, word), flush=True)

    play(a, names, a.jobs, report)
    unstable = {}
    for _ in range(0 if a.no_repeat else AGAIN):
        again = [n for n in names if j.open_steps(n) and j.may_repeat(n)]
        if not again:
            break
        print("playing again, alone: " + " ".join(again), flush=True)
        first = {n: [b[0] for b in j.open_steps(n)] for n in again}
        for n in again:
            for f in glob.glob(os.path.join(glob.escape(a.out), glob.escape(n) + ".*")):
                os.unlink(f)
        play(a, again, 1, j.judge)
        unstable.update({n: first[n] for n in again if not j.open_steps(n)})
    print_result(j, unstable, a.v)
    different = [n for n in names if j.open_steps(n)]
    print("\n%d scenarios in %.0f s: %d without an unexplained difference, %d with" % (len(names), time.time() - t0, len(names) - len(different), len(different)))
    for n in different:  # once more at the end, where whoever reads the tail of a log finds it
        for i, text, ds, _ in j.open_steps(n):
            print("DIFFERENT %s step %s %s: %s" % (n, i, text[:100], "; ".join("%s: %s" % (k, d) for k, d in ds)[:600]))
    return 1 if different else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
