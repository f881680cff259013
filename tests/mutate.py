#!/usr/bin/python3
"""Mutation testing: small changes to the core of the gateway, one at a time, each of which some test should notice.

    tests/mutate.py [-n 160] [-j 2] [-s SEED] [-k DIRECTORY] [FILE...]

A mutant is killed when a unit test, the replay of a corpus or, for what they leave alive of a session's parts, a test of
tests/integration fails. Mutants that do not compile do not count. What survives is listed; a line of tests/mutate.equivalent
takes a mutant that changes nothing anybody could see out of the count."""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "tests/mutate.equivalent"
LIMIT = 120  # seconds for one test, or INTEGRATION_LIMIT for a module; only a mutant that hangs takes so long
INTEGRATION_LIMIT = 600
GOAL = 85

# What looks after a file, the quickest first: unit tests, fuzz targets, modules of tests/integration.
SESSION = ("fuzz_session fuzz_session_tls test_frames.py test_endings.py test_lifecycle.py test_file_endings.py test_drain.py "
           "test_limits.py test_proxy.py test_at_once.py test_profile.py test_net.py test_relay.py")
GUARDS = {
    "src/proto/ws.c": "test_ws fuzz_ws fuzz_ws_split fuzz_utf8",
    "src/proto/utf8.c": "test_utf8 fuzz_utf8 test_ws fuzz_ws",
    "src/proto/http.c": "test_http fuzz_http_head fuzz_http_list test_upgrade test_origin fuzz_upgrade fuzz_origin",
    "src/proto/upgrade.c": "test_upgrade fuzz_upgrade",
    "src/proto/proxyhdr.c": "test_proxyhdr fuzz_proxyhdr",
    "src/proto/ip.c": "test_ip test_addr test_cidr test_http test_proxyhdr test_origin test_tokens test_own_names test_route",
    "src/session/codec.c": "test_codec " + SESSION,
    "src/session/flow.c": "test_flow " + SESSION,
    "src/session/open.c": SESSION,
    "src/session/watch.c": SESSION,
    "src/session/closing.c": SESSION,
    "src/session/session.c": SESSION,
}

SWAPS = [(" < ", " <= "), (" <= ", " < "), (" > ", " >= "), (" >= ", " > "), (" == ", " != "), (" != ", " == "),
         (" && ", " || "), (" || ", " && "), (" + ", " - "), (" - ", " + "), (" += ", " -= "), (" -= ", " += "),
         ("true", "false"), ("false", "true"),
         ("++", "--"), (" & ", " | "), (" << ", " >> "), (" >> ", " << "), ("(!", "(")]
STATEMENT = re.compile(r"^\t+(?!(?:return|break|continue|goto|case|else|if|for|while|do|struct|const|static)\b)"
                       r"(\*?[a-z_][\w.>\[\]()*-]* [|&+-]?= .*;|[a-z_][\w.>-]*\(.*\);|[\w.>-]+(\+\+|--);)$")
CONDITION = re.compile(r"^(\t+(?:} else )?(?:if|while) \()(.*)(\)(?: \{)?)$")
NUMBER = re.compile(r"(?<![\w.])(0x[0-9a-f]+|\d+)(?![\w.])")
SKIPPED = ("#", "assert(", "_Static_assert", "(void)")


def code_lines(text):
    """(number, line) of what is code: no comments, no lines that only declare or include."""
    inside = False
    for number, line in enumerate(text.split("\n")):
        starts, ends = "/*" in line, "*/" in line
        comment = inside or line.lstrip().startswith("/*")
        inside = (inside or starts) and not ends
        if not comment and not starts and not line.lstrip().startswith(SKIPPED) and line.startswith("\t"):
            yield number, line


def without_strings(line):
    return re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'', lambda found: "\0" * len(found.group()), line)


def replaced(line, at, length, new):
    return line[:at] + new + line[at + length:]


def swaps(line):
    shown = without_strings(line)
    for old, new in SWAPS:
        for found in re.finditer(re.escape(old), shown):
            if not old.isalpha() or re.fullmatch(r"\W?", shown[found.start() - 1:found.start()]):
                yield replaced(line, found.start(), len(old), new)


def numbers(line):
    for found in NUMBER.finditer(without_strings(line)):
        yield replaced(line, found.start(), len(found.group()), str(int(found.group(), 0) + 1))


def statements(line):
    if STATEMENT.match(line):
        yield re.match(r"\t+", line).group() + ";"
    found = CONDITION.match(line)
    if found and found.group(2).count("(") == found.group(2).count(")"):
        yield f"{found.group(1)}!({found.group(2)}){found.group(3)}"


def mutants_of(path):
    for number, line in code_lines((ROOT / path).read_text()):
        for make in (swaps, numbers, statements):
            for mutant in make(line):
                yield path, number, line, mutant


def key_of(mutant):
    path, _, line, new = mutant
    return f"{path}: {line.strip()} -> {new.strip()}"


def equivalents():
    lines = EQUIVALENT.read_text().splitlines() if EQUIVALENT.exists() else []
    return {line for line in lines if line and not line.startswith("#")}


def run(command, where, limit=600):
    try:
        return subprocess.run(command, cwd=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=limit,
                              stdin=subprocess.DEVNULL, env=dict(os.environ, srcdir=str(ROOT)), check=False).returncode
    except subprocess.TimeoutExpired:
        return -1


def program(name):
    if name.endswith(".py"):
        return "sallyport"
    return f"tests/{'fuzz' if name.startswith('fuzz_') else 'unit'}/{name}"


def guard_passes(name, build):
    if not name.endswith(".py"):
        return run([f"./{program(name)}"], build, LIMIT) == 0
    return run(["env", f"SALLYPORT={build}/sallyport", "SALLYPORT_TEST_TIMEOUT=60", "/usr/bin/python3", "-m", "pytest", "-x", "-q",
                "-p", "no:cacheprovider", "-m", "not slow and not native", f"--basetemp={build}/tmp",
                f"{ROOT}/tests/integration/{name}"], build, INTEGRATION_LIMIT) == 0


class Tree:
    """A copy of the sources with a build beside it, in which one mutant at a time is tried."""

    def __init__(self, parent, number, files):
        self.source = Path(parent) / f"tree{number}"
        self.build = Path(parent) / f"build{number}"
        shutil.copytree(ROOT, self.source, ignore=shutil.ignore_patterns(".git", "node_modules", "artifacts"),
                        dirs_exist_ok=True)
        for path in GUARDS:
            (self.source / path).touch()  # what is kept may hold the last mutant's object
        self.build.mkdir(exist_ok=True)
        if not (self.source / "configure").exists():
            self.must(["./autogen.sh"], self.source)
        if not (self.build / "Makefile").exists():
            self.must([f"../tree{number}/configure", "-q", "--enable-sanitizers", "--disable-hardening", "CFLAGS=-O1"])
        self.must(["make", "-s", *sorted({program(name) for path in files for name in GUARDS[path].split()})])

    def check(self, names):
        """That all guards are content with what is not changed, or they would seem to notice anything."""
        for name in names:
            if run(["make", "-s", program(name)], self.build) != 0 or not guard_passes(name, self.build):
                sys.exit(f"{name} fails on the original")

    def must(self, command, where=None):
        if run(command, where or self.build, 1800) != 0:
            sys.exit(f"failed: {' '.join(command)}")

    def judge(self, mutant):
        """'killed', 'survived' or 'invalid'."""
        path, number, _, new = mutant
        original = (ROOT / path).read_text()
        lines = original.split("\n")
        lines[number] = new
        (self.source / path).write_text("\n".join(lines))
        try:
            return self.verdict(GUARDS[path].split())
        finally:
            (self.source / path).write_text(original)

    def verdict(self, names):
        for name in names:
            if run(["make", "-s", program(name)], self.build) != 0:
                return "invalid"
            if not guard_passes(name, self.build):
                return "killed"
        return "survived"


def choose(files, count, seed):
    known = equivalents()
    every = [m for path in files for m in mutants_of(path) if key_of(m) not in known]
    return sorted(random.Random(seed).sample(every, min(count, len(every)))), len(every)


def try_all(mutants, files, jobs, keep):
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory(prefix="mutate-") as parent:
        os.makedirs(parent, exist_ok=True)
        os.chmod(parent, 0o711)  # whoever a gateway becomes has to come to what it serves
        trees = Queue()
        for number in range(jobs):
            tree = Tree(parent, number, files)
            if number == 0:
                tree.check({name: None for path in files for name in GUARDS[path].split()})
            trees.put(tree)

        def attempt(mutant):
            tree = trees.get()
            try:
                return mutant, tree.judge(mutant)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(attempt, mutants)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=160, help="how many mutants, chosen by SEED")
    parser.add_argument("-j", type=int, default=2, help="how many at a time")
    parser.add_argument("-s", type=int, default=1, metavar="SEED")
    parser.add_argument("-k", metavar="DIRECTORY", help="where the builds are kept, for the next time")
    parser.add_argument("files", nargs="*", metavar="FILE", default=list(GUARDS))
    options = parser.parse_args()
    mutants, possible = choose(options.files, options.n, options.s)
    score = {path: [0, 0] for path in options.files}
    for mutant, verdict in try_all(mutants, options.files, options.j, options.k):
        if verdict == "invalid":
            continue
        score[mutant[0]][0] += verdict == "killed"
        score[mutant[0]][1] += 1
        if verdict == "survived":
            print(f"survived, line {mutant[1] + 1}: {key_of(mutant)}", flush=True)
    for path, (killed, total) in score.items():
        print(f"{path:24} {killed:4} of {total:4} killed")
    killed, total = (sum(column) for column in zip(*score.values()))
    share = 100 * killed / max(total, 1)
    print(f"{killed} of {total} mutants killed, {share:.1f} % (goal {GOAL}); {possible} are possible")
    print(f"{int(100 * killed >= GOAL * total)} passed, {int(100 * killed < GOAL * total)} failed")
    return 0 if 100 * killed >= GOAL * total else 1


if __name__ == "__main__":
    sys.exit(main())
