"""What the measurement needs on this machine, what of it is missing, and what is here, by version."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from process import LOAD_CPU, SERVER_CPU
from servers import SERVERS

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = {"apt-get": "gcc libc6-dev libssl-dev openssl haproxy lighttpd websockify",
            "dnf": "gcc openssl-devel openssl haproxy lighttpd python3-websockify"}


def how_to_install():
    commands = "\n".join(f"    {manager} install {packages}" for manager, packages in PACKAGES.items())
    return f"All that is measured with, on Debian and on Fedora:\n{commands}\nor: {HERE}/compare.py --install"


def install():
    """With this machine's package manager; the exit status."""
    for manager, packages in PACKAGES.items():
        if shutil.which(manager):
            return subprocess.run(["bash", os.path.join(HERE, "install.sh"), manager, *packages.split()],
                                  check=False).returncode
    print(f"neither apt-get nor dnf is here. {how_to_install()}", file=sys.stderr)
    return 1


def compiles(compiler):
    with tempfile.TemporaryDirectory() as directory:
        source = os.path.join(directory, "try.c")
        with open(source, "w", encoding="ascii") as out:
            out.write("#include <openssl/ssl.h>\nint main(void) { return SSL_CTX_new(TLS_client_method()) == 0; }\n")
        command = [*compiler.split(), "-o", source + ".out", source, "-lssl", "-lcrypto"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def lacks():
    """What nothing can be measured without."""
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler.split()[0]):
        return [f"a C compiler ({compiler})"]
    return ([] if compiles(compiler) else ["OpenSSL's headers (libssl-dev, openssl-devel)"]) + \
        ([] if shutil.which("openssl") else ["the command openssl"])


def missing_peers(names):
    """Those servers that are not here, with the reason."""
    reasons = {name: SERVERS[name].missing() for name in dict.fromkeys(names)}
    return {name: reason for name, reason in reasons.items() if reason}


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout or done.stderr).partition("\n")[0]


def version(pattern, *command):
    found = re.search(pattern, first_line(*command))
    return found.group(1) if found else None


def python_package(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def gateway_versions(gateway):
    shown = subprocess.run([gateway, "--version"], capture_output=True, text=True, check=False).stdout
    return ", ".join(re.sub(r" \d+ \w+ \d{4}$", "", line) for line in shown.strip().splitlines())


def versions(gateway):
    peers = {"HAProxy": version(r"version (\S+)", "haproxy", "-v"),
             "lighttpd": version(r"lighttpd/(\S+)", "lighttpd", "-v"), "websockify": python_package("websockify")}
    there = [f"{name} {number}" for name, number in peers.items() if number]
    return "; ".join([gateway_versions(gateway), *there])


def processor():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as info:
        found = re.search(r"^model name\s*: (.*)$", info.read(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def placement():
    if SERVER_CPU == LOAD_CPU:
        return "There is one processor only: load and backends share it with the server, and disturb it."
    return "The server under test has one processor for itself; load and backends share another."


def describe(gateway):
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    kernel = re.match(r"[\d.]+", platform.release()).group(0)
    return {"versions": versions(gateway), "placement": placement(),
            "system": f"{release}, kernel {kernel}, {os.cpu_count()} processors {processor()}"}
