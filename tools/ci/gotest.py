#!/usr/bin/env python3
"""Run `go test -json ARGS`, print what go test prints, count, and judge the skipped tests.

  gotest.py STAGE go-test-arguments...

As root nothing may be skipped for want of a privilege or a program, so a skipped test fails the stage unless skips.txt
lists it. Packages with a failure show the whole output of their failing tests. The last line is `STAGE: N passed, N failed,
N skipped`; with CI_COUNTS set to a file, `STAGE passed failed` is appended to it.
"""
import collections, fnmatch, json, os, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))


def allowed(stage):
    """[(line, package-and-test glob)] of skips.txt for this stage"""
    r = []
    with open(os.path.join(HERE, "skips.txt")) as f:
        for n, l in enumerate(f, 1):
            w = l.split(None, 2)
            if not w or w[0].startswith("#"):
                continue
            if len(w) < 3:
                sys.exit("skips.txt:%d: stage, package/Test and reason are needed" % n)
            if w[0] in (stage, "*"):
                r.append(w[1])
    return r


class Results:
    def __init__(self):
        self.output = collections.defaultdict(list)    # (package, test) -> lines
        self.count = collections.Counter()
        self.skipped = []                              # (package, test, reason)
        self.failed = []                               # "package test"

    def event(self, e):
        pkg, test, act = e.get("Package", e.get("ImportPath", "?").split(" ")[0]), e.get("Test"), e["Action"]
        if act in ("output", "build-output"):
            if test is None:
                if e["Output"] not in ("PASS\n", "FAIL\n"):
                    print(e["Output"], end="", flush=True)
            else:
                self.output[pkg, test].append(e["Output"])
        elif act == "build-fail":
            self.failed.append(pkg + " does not build")
            self.count["fail"] += 1
        elif test is not None and act in ("pass", "fail", "skip"):
            self.count[act] += 1
            lines = self.output.pop((pkg, test), [])
            if act == "fail":
                self.failed.append(pkg + " " + test)
                print("".join(lines), end="", flush=True)
            elif act == "skip":
                said = [l.strip() for l in lines if not l.startswith(("===", "---")) and l.strip()]
                self.skipped.append((pkg, test, " ".join(said[:1])))
        elif test is None and act == "fail" and not any(f.split(" ")[0] == pkg for f in self.failed):
            left = [l for (p, _), ls in self.output.items() if p == pkg for l in ls]     # a panic or a timeout cuts a test off
            print("".join(left[-200:]), end="", flush=True)
            self.failed.append(pkg)
            self.count["fail"] += 1


def main():
    stage, args = sys.argv[1], sys.argv[2:]
    r = Results()
    p = subprocess.Popen(["go", "test", "-json"] + args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    for line in p.stdout:
        try:
            r.event(json.loads(line))
        except ValueError:
            print(line, end="", flush=True)
    status = p.wait()
    if status and not r.failed:
        r.failed.append("go test ended with status %d" % status)
        r.count["fail"] += 1
    ok = allowed(stage)
    for pkg, test, said in r.skipped:
        listed = any(fnmatch.fnmatchcase(pkg + "/" + test, g) for g in ok)
        print("%s %s/%s: %s" % ("skip (allowed)" if listed else "SKIP", pkg, test, said))
        if os.geteuid() == 0 and not listed:
            r.failed.append("%s %s was skipped" % (pkg, test))
            r.count["fail"] += 1
    for f in r.failed:
        print("FAIL %s" % f)
    print("%s: %d passed, %d failed, %d skipped" % (stage, r.count["pass"], r.count["fail"], r.count["skip"]), flush=True)
    if os.environ.get("CI_COUNTS"):
        with open(os.environ["CI_COUNTS"], "a") as f:
            f.write("%s %d %d\n" % (stage, r.count["pass"], r.count["fail"]))
    return 1 if r.failed or status else 0


if __name__ == "__main__":
    sys.exit(main())
