"""What every measurement needs: tools built, backends running, servers started on demand, loads run against them."""

import glob
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

from process import LOAD_CPU, Process, raise_descriptor_limit, start
from results import median  # noqa: F401  (for the scripts that import it from here)
from servers import BACKENDS, SERVERS, find_programs_of_root

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = {"tool_load": ["load/*.c", "benchnet.c", "-lssl", "-lcrypto"],
         "tool_backend": ["tool_backend.c", "benchnet.c"]}


class Load:
    """A run of the load generator under way."""

    def __init__(self, argv):
        self.child = start(argv, LOAD_CPU, stdout=subprocess.PIPE, text=True)

    def opened(self, seconds=20):
        """Waits until all sessions are open; false if they cannot be."""
        ready, _, _ = select.select([self.child.stdout], [], [], seconds)
        return bool(ready) and self.child.stdout.readline().startswith("open ")

    def wait_open(self):
        if not self.opened():
            self.end()
            sys.exit("not all sessions could be opened")

    def result(self):
        lines = self.child.stdout.read().strip().splitlines()
        if self.child.wait() < 0 or not lines or not lines[-1].startswith("{"):
            sys.exit(f"the load generator died: {self.child.returncode}")
        return json.loads(lines[-1])

    def end(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


class Rig:
    """Builds the tools, runs the backends, and starts servers on demand; leaves nothing behind."""

    def __init__(self, gateway, before=None):
        find_programs_of_root()
        raise_descriptor_limit()
        self.gateway, self.before = gateway, before
        self.directory = tempfile.mkdtemp(prefix="bench-")
        os.chmod(self.directory, 0o755) # for whom the gateway becomes after root started it
        self.servers, self.loads, self.backend = {}, [], None
        try:
            self.build()
            self.backend = Process([self.file("tool_backend"), *(f"{kind}=127.0.0.1:0" for kind in BACKENDS)], LOAD_CPU,
                                   self.file("backend.log"))
            self.backends = self.read_backends()
        except BaseException:
            self.clear()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.clear()

    def clear(self):
        for load in self.loads:
            load.end()
        for server in self.servers.values():
            server.process.stop()
        if self.backend:
            self.backend.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def file(self, name):
        return os.path.join(self.directory, name)

    def build(self):
        for tool, parts in TOOLS.items():
            sources = [path for part in parts for path in sorted(glob.glob(os.path.join(HERE, part)))]
            libraries = [part for part in parts if part.startswith("-l")]
            subprocess.run([*os.environ.get("CC", "cc").split(), "-std=c11", "-D_GNU_SOURCE", "-O2", "-o",
                            self.file(tool), *sources, *libraries], check=True)

    def read_backends(self):
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with open(self.file("backend.log"), encoding="ascii") as log:
                pairs = [line.strip().split("=", 1) for line in log if line.endswith("\n")]
            if len(pairs) == len(BACKENDS):
                return dict(pairs)
            time.sleep(0.02)
        sys.exit("the backend did not start")

    def certificate(self):
        path = self.file("own.pem")
        if not os.path.exists(path):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-subj", "/CN=localhost", "-days", "2", "-keyout", path + ".key", "-out", path + ".crt"],
                           check=True, capture_output=True)
            with open(path, "w", encoding="ascii") as out:
                for part in (".crt", ".key"):
                    with open(path + part, encoding="ascii") as source:
                        out.write(source.read())
        return path

    def server(self, name, workers=1):
        """The server of that name, started when first asked for."""
        key = (name, workers)
        if key not in self.servers:
            self.servers[key] = SERVERS[name](self, workers)
        return self.servers[key]

    def stop_server(self, name, workers=1):
        if (name, workers) in self.servers:
            self.servers.pop((name, workers)).process.stop()

    def fresh_server(self, name):
        """A server of that name that has done nothing yet; the one before is stopped."""
        self.stop_server(name)
        return self.server(name)

    def load(self, arguments):
        self.loads = [load for load in self.loads if load.child.poll() is None]
        load = Load([self.file("tool_load"), *arguments])
        self.loads.append(load)
        return load
