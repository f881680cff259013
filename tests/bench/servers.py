"""The servers that are measured: the gateway and its peers, each with the configuration it gets."""

import os
import shutil
import socket
import subprocess
import sys
import time

from process import SERVER_CPU, Process

BACKENDS = ("echo", "sink", "source", "stall")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server under test: the port it listens on and the path it wants, for each kind of backend."""

    program = None      # of a peer, looked up in PATH
    raw = False         # it relays bytes: the load sends the same frames, without the upgrade and the Close
    tls = False
    family = False      # it forks

    def __init__(self, rig, workers=1):
        self.ports = {kind: free_port() for kind in BACKENDS}
        self.rig = rig
        name = type(self).__name__.lower()
        self.config = rig.file(f"{name}-{self.ports['echo']}.conf")
        with open(self.config, "w", encoding="ascii") as out:
            out.write(self.text(workers))
        self.process = Process(self.argv(), SERVER_CPU, self.config + ".log", self.family)
        for port in set(self.ports.values()):
            wait_for_port(port, self.process)

    @classmethod
    def missing(cls):
        """Why this peer cannot be measured here, or nothing."""
        return None if shutil.which(cls.program) else f"{cls.program} is not installed"

    def path(self, backend):
        return f"/{backend}"

    def load(self, mode, backend, *options):
        """The arguments that make the load generator talk to this server."""
        flags = [flag for flag, wanted in (("-r", self.raw), ("-S", self.tls)) if wanted]
        return [mode, *flags, *options, "-p", self.path(backend), f"127.0.0.1:{self.ports[backend]}"]


class Sallyport(Server):
    @classmethod
    def missing(cls):
        return None

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


class Before(Sallyport):
    def argv(self):
        return [self.rig.before, "-c", self.config]


class BeforeTls(Before):
    tls = True


class Haproxy(Server):
    """TCP mode: it moves the same bytes and never looks at them."""

    program = "haproxy"
    raw = True

    def argv(self):
        return ["haproxy", "-db", "-f", self.config]

    def text(self, workers):
        del workers
        lines = ["global", "nbthread 1", "maxconn 2500", "defaults", "mode tcp", "timeout connect 5s",
                 "timeout client 1h", "timeout server 1h"]
        ssl = f" ssl crt {self.rig.certificate()}" if self.tls else ""
        for kind in BACKENDS:
            lines += [f"listen {kind}", f"bind 127.0.0.1:{self.ports[kind]}{ssl}",
                      f"server s {self.rig.backends[kind]}"]
        return "\n".join(lines) + "\n"


class HaproxyTls(Haproxy):
    tls = True


class HaproxySplice(Haproxy):
    """What the backend sends goes from socket to socket inside the kernel."""

    def text(self, workers):
        return super().text(workers).replace("mode tcp", "mode tcp\noption splice-response")


class Lighttpd(Server):
    """mod_wstunnel: it decodes WebSocket as the gateway does, plain only."""

    program = "lighttpd"

    @classmethod
    def missing(cls):
        if not shutil.which(cls.program):
            return "lighttpd is not installed"
        check = subprocess.run(["lighttpd", "-tt", "-f", "-"], capture_output=True, check=False,
                               input=b'server.document-root = "/"\nserver.modules = ("mod_wstunnel")\n')
        return "lighttpd is there, but its mod_wstunnel is not" if check.returncode else None

    def argv(self):
        return ["lighttpd", "-D", "-f", self.config]

    def text(self, workers):
        del workers
        port = free_port()
        self.ports = dict.fromkeys(BACKENDS, port)
        lines = ['server.modules = ("mod_wstunnel")', f'server.document-root = "{self.rig.directory}"',
                 f"server.port = {port}", 'server.bind = "127.0.0.1"', "server.max-fds = 6000",
                 "server.max-connections = 2500"]
        for kind in BACKENDS:
            host, backend_port = self.rig.backends[kind].split(":")
            lines.append(f'$HTTP["url"] == "/{kind}" {{ wstunnel.server = ("" => (("host" => "{host}", '
                         f'"port" => {backend_port}))) wstunnel.frame-type = "binary" }}')
        return "\n".join(lines) + "\n"


class Websockify(Server):
    """A process for each session; targets by token, so that one of it reaches all backends."""

    program = "websockify"
    family = True

    def argv(self):
        return ["websockify", "--token-plugin", "TokenFile", "--token-source", self.config,
                f"127.0.0.1:{self.ports['echo']}"]

    def path(self, backend):
        return f"/?token={backend}"

    def text(self, workers):
        del workers
        self.ports = dict.fromkeys(BACKENDS, free_port())
        return "".join(f"{kind}: {self.rig.backends[kind]}\n" for kind in BACKENDS)


SERVERS = {"sallyport": Sallyport, "sallyport-tls": SallyportTls, "before": Before, "before-tls": BeforeTls,
           "haproxy": Haproxy, "haproxy-tls": HaproxyTls, "haproxy-splice": HaproxySplice, "lighttpd": Lighttpd, "websockify": Websockify}


def find_programs_of_root():
    """haproxy and lighttpd live where an ordinary user does not look."""
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


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
