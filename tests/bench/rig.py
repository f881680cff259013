"""What every measurement needs: tools built, servers under test started and pinned, their CPU time and memory."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")
SERVER_CPU, LOAD_CPU = 0, 1
BACKENDS = ("echo", "sink", "source", "stall")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


class Process:
    """A child bound to one processor, with its CPU time and memory."""

    def __init__(self, argv, cpu, log):
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(["taskset", "-c", str(cpu), *argv], stdout=out, stderr=out)
        self.pid = self.child.pid

    def cpu(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def settled_cpu(self):
        """CPU time once the process has come to rest."""
        before = self.cpu()
        for _ in range(50):
            time.sleep(0.1)
            now = self.cpu()
            if now == before:
                break
            before = now
        return before

    def memory(self, field="Pss"):
        """Bytes, of a field of smaps_rollup."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as rollup:
            for line in rollup:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise KeyError(field)

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Server:
    """One server under test: the port it listens on and the path it wants, for each kind of backend."""

    raw = False
    tls = False

    def __init__(self, rig, workers=1):
        self.ports = {kind: free_port() for kind in BACKENDS}
        self.rig = rig
        name = type(self).__name__.lower()
        self.config = rig.file(f"{name}-{self.ports['echo']}.conf")
        with open(self.config, "w", encoding="ascii") as out:
            out.write(self.text(workers))
        self.process = Process(self.argv(), SERVER_CPU, self.config + ".log")
        for port in set(self.ports.values()):
            wait_for_port(port, self.process)

    def load(self, mode, backend, *options):
        """The arguments that make the load generator talk to this server."""
        flags = [flag for flag, wanted in (("-r", self.raw), ("-S", self.tls)) if wanted]
        return [mode, *flags, *options, "-p", f"/{backend}", f"127.0.0.1:{self.ports[backend]}"]


class Sallyport(Server):
    def argv(self):
        return [self.rig.gateway, "-c", self.config]

    def text(self, workers):
        port = free_port()
        self.ports = dict.fromkeys(BACKENDS, port)
        lines = ["[server]", f"workers = {workers}", "log_level = error",
                 "[listen all]", f"address = 127.0.0.1:{port}", f"tls = {'on' if self.tls else 'off'}"]
        if self.tls:
            lines += ["[tls own]", f"certificate = {self.rig.certificate()}"]
        for kind in BACKENDS:
            lines += [f"[route {kind}]", f"path = /{kind}", f"target = {self.rig.backends[kind]}", "stall_timeout = 0"]
        return "\n".join(lines) + "\n"


class SallyportTls(Sallyport):
    tls = True


class Haproxy(Server):
    """TCP mode: it moves the same bytes and never looks at them."""

    raw = True

    def argv(self):
        return ["haproxy", "-db", "-q", "-f", self.config]

    def text(self, workers):
        del workers
        lines = ["global", "nbthread 1", "maxconn 8000", "defaults", "mode tcp", "timeout connect 5s",
                 "timeout client 1h", "timeout server 1h"]
        ssl = f" ssl crt {self.rig.certificate()}" if self.tls else ""
        for kind in BACKENDS:
            lines += [f"listen {kind}", f"bind 127.0.0.1:{self.ports[kind]}{ssl}",
                      f"server s {self.rig.backends[kind]}"]
        return "\n".join(lines) + "\n"


class HaproxyTls(Haproxy):
    tls = True


class Lighttpd(Server):
    """mod_wstunnel: it decodes WebSocket as the gateway does, plain only."""

    def argv(self):
        return ["lighttpd", "-D", "-f", self.config]

    def text(self, workers):
        del workers
        port = free_port()
        self.ports = dict.fromkeys(BACKENDS, port)
        lines = ['server.modules = ("mod_wstunnel")', f'server.document-root = "{self.rig.directory}"',
                 f"server.port = {port}", 'server.bind = "127.0.0.1"', "server.max-fds = 16384",
                 "server.max-connections = 8000"]
        for kind in BACKENDS:
            host, backend_port = self.rig.backends[kind].split(":")
            lines.append(f'$HTTP["url"] == "/{kind}" {{ wstunnel.server = ("" => (("host" => "{host}", '
                         f'"port" => {backend_port}))) wstunnel.frame-type = "binary" }}')
        return "\n".join(lines) + "\n"


SERVERS = {"sallyport": Sallyport, "sallyport-tls": SallyportTls, "haproxy": Haproxy, "haproxy-tls": HaproxyTls,
           "lighttpd": Lighttpd}


def wait_for_port(port, process):
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if process.child.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    with open(process.log, encoding="utf-8", errors="replace") as log:
        sys.exit(f"a server did not start:\n{log.read()[-2000:]}")


class Load:
    """A run of the load generator under way."""

    def __init__(self, argv):
        self.child = subprocess.Popen(["taskset", "-c", str(LOAD_CPU), *argv], stdout=subprocess.PIPE, text=True)

    def wait_open(self):
        line = self.child.stdout.readline()
        if not line.startswith("open "):
            self.end()
            sys.exit(f"not all sessions could be opened: {line}")

    def result(self):
        lines = self.child.stdout.read().strip().splitlines()
        if self.child.wait() < 0 or not lines:
            sys.exit(f"the load generator died: {self.child.returncode}")
        return json.loads(lines[-1])

    def end(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


class Rig:
    """Builds the tools, runs the backends, and starts servers on demand; leaves nothing behind."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.directory = tempfile.mkdtemp(prefix="bench-")
        self.servers = {}
        self.build()
        self.backend = Process([self.file("tool_backend"), *(f"{kind}=127.0.0.1:0" for kind in BACKENDS)], LOAD_CPU,
                               self.file("backend.log"))
        self.backends = self.read_backends()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for server in self.servers.values():
            server.process.stop()
        self.backend.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def file(self, name):
        return os.path.join(self.directory, name)

    def build(self):
        for tool, libraries in (("tool_load", ["-lssl", "-lcrypto"]), ("tool_backend", [])):
            sources = [os.path.join(HERE, name) for name in (tool + ".c", "benchnet.c")]
            subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-o", self.file(tool),
                            *sources, *libraries], check=True)

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

    def fresh_server(self, name):
        """A server of that name that has done nothing yet; the one before is stopped."""
        if (name, 1) in self.servers:
            self.servers.pop((name, 1)).process.stop()
        return self.server(name)

    def load(self, arguments):
        return Load([self.file("tool_load"), *arguments])
