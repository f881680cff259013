"""What the scripts of this folder have in common: their command line, a gateway of their own, and a last line of
counts.

Owns the gateway of one run; each script prints its figures itself, and a goal that was missed makes the status 1.
"""

import argparse
import collections
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = os.path.join(HERE, "..", "packages.sh")
Certificate = collections.namedtuple("Certificate", "cert key")
sys.path[:0] = [os.path.join(HERE, "..", "integration"), os.path.join(HERE, "..")]
from gateway import Gateway, listener_names  # noqa: E402
from verdicts import Verdicts  # noqa: E402,F401  the scripts say script.Verdicts


def end_early(*_):
    """Cleans up, or gateways and cgroups would stay; once, since timeout(1) signals twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def arguments(words, prepare=None):
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the short version")
    parser.add_argument("--gateway", default=os.environ.get("SALLYPORT", "./sallyport"), help="the program (SALLYPORT)")
    if prepare:
        prepare(parser)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, end_early)
    os.environ["SALLYPORT"] = os.path.abspath(given.gateway)
    if not os.access(given.gateway, os.X_OK):
        sys.exit(f"{given.gateway} is not a program: build it, or name it with SALLYPORT=")
    return given


def install(*packages):
    """What a script needs, on Debian; elsewhere it must be there."""
    if os.path.exists("/etc/debian_version"):
        subprocess.run(["bash", "-c", f'. "{PACKAGES}" && install_debian "$@" >&2', "-", *packages], check=False)


@contextlib.contextmanager
def directory():
    path = tempfile.mkdtemp(prefix="sallyport-net-")
    os.chmod(path, 0o755) # for whom the gateway becomes after root started it
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def gateway(config, verdicts=None, **options):
    """A gateway with this configuration for the length of the block; how it ends is a verdict, too."""
    with directory() as path:
        file = os.path.join(path, "sallyport.conf")
        with open(file, "w", encoding="utf-8") as out:
            out.write(config)
        running = Gateway(["-c", file], listener_names(config), **options)
        try:
            running.wait_ready()
            yield running
            failure = None
            try:
                running.stop()
            except AssertionError as error:
                failure = str(error)
            if verdicts is not None:
                verdicts.check(failure is None, failure or "the gateway ended on SIGTERM with status 0 and no complaint")
        finally:
            running.judged = True
            running.kill()


def compile_shim(directory_path, name, source):
    """A shared object for LD_PRELOAD from this C text; its path. It makes system calls of its own: sandbox = off."""
    text, library = os.path.join(directory_path, f"{name}.c"), os.path.join(directory_path, f"{name}.so")
    with open(text, "w", encoding="ascii") as out:
        out.write(source)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library, text, "-ldl"], check=True)
    return library


def make_certificate(path):
    """Files of a certificate for gateway.test and of its key."""
    cert, key = os.path.join(path, "cert.pem"), os.path.join(path, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=gateway.test", "-addext", "subjectAltName=DNS:gateway.test"],
                   check=True, capture_output=True)
    os.chmod(key, 0o644) # see directory()
    return Certificate(cert, key)


def route(name, target, **options):
    lines = [f"[route {name}]", f"path = /{name}", f"target = {target}"]
    return "\n".join(lines + [f"{key} = {value}" for key, value in options.items()]) + "\n"


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
