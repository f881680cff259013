"""Fixtures for tests that know the gateway from outside only: SALLYPORT in the environment is the binary under test."""

import os
import shutil
import ssl
import subprocess
import tempfile
import textwrap

import pytest

import backends
from gateway import Gateway, find_sanitizer, listener_names, open_to_all
from wsclient import Connection


BASE = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    os.umask(0) # a gateway that root starts becomes somebody else, who has to reach what tests make for it
    if config.option.basetemp is None: # pytest's own place is closed to others again by every run beside this one
        config.option.basetemp = config.stash[BASE] = tempfile.mkdtemp(prefix="sallyport-tests-")
    config.addinivalue_line("markers", "slow: moves much data; left out under the thread sanitizer")
    config.addinivalue_line("markers", "native: measures memory or time; only on a build without sanitizers")


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0 and BASE in session.config.stash:
        shutil.rmtree(session.config.stash[BASE], ignore_errors=True)


def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(reason="measures memory or time: needs a build without sanitizers")
    if find_sanitizer():
        for item in items:
            if item.get_closest_marker("native"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def sanitizer():
    return find_sanitizer()


@pytest.fixture(scope="session")
def tmp_path_factory(tmp_path_factory):
    """pytest's own, of which tmp_path is made, too."""
    make = tmp_path_factory.mktemp

    def make_open(*arguments, **options):
        directory = make(*arguments, **options)
        open_to_all(directory)
        return directory
    tmp_path_factory.mktemp = make_open
    return tmp_path_factory


# --- the gateway ------------------------------------------------------------------------------------------------------

class Starter:
    """Starts gateways for one scope and answers for all of them at its end."""

    def __init__(self, directory):
        self.directory = directory
        self.gateways = []

    def __call__(self, config, name="sallyport.conf", ready=True, **options):
        """From the text of a configuration (indented as suits the test); its file is gateway.config."""
        path = self.directory / name
        config = textwrap.dedent(config)
        path.write_text(config)
        gateway = self._start(["-c", str(path)], listener_names(config), ready, options)
        gateway.config = path
        return gateway

    def quick(self, *arguments, ready=True, **options):
        """From the words of the quick form, such as "127.0.0.1:0", "echo:". It answers to the name that wsclient asks for."""
        names = [] if "-c" in arguments else ["--host", "gateway.test"]
        return self._start([*names, *(str(a) for a in arguments)], ["command line"], ready, options)

    def from_file(self, path, listeners, ready=True, **options):
        """From a configuration that is no file of this directory, such as a pipe."""
        return self._start([f"--config={path}"], listeners, ready, options)

    def _start(self, arguments, listeners, ready, options):
        gateway = Gateway(arguments, listeners, **options)
        self.gateways.append(gateway)
        if ready:
            gateway.wait_ready()
        return gateway

    def finish(self):
        failures = []
        for gateway in self.gateways:
            try:
                gateway.stop()
            except AssertionError as failure:
                failures.append(str(failure))
        assert not failures, "\n\n".join(failures)

    def forget(self, gateway):
        """For a gateway that has failed already and was told so."""
        gateway.judged = True
        gateway.kill()


@pytest.fixture
def start_gateway(tmp_path, request):
    """start_gateway(config) or start_gateway.quick(words...): a gateway that is stopped and judged after the test."""
    starter = Starter(tmp_path)
    request.node.starters = getattr(request.node, "starters", []) + [starter]
    yield starter
    starter.finish()


class Shared:
    """One gateway for the tests of a module; started anew if a test has killed it, so that only that test fails."""

    def __init__(self, starter, config):
        self.starter, self.config, self.gateway = starter, config, None

    def running(self):
        if self.gateway is None:
            self.gateway = self.starter(self.config)
        return self.gateway

    def check(self):
        try:
            self.gateway.check_running()
        except AssertionError:
            self.starter.forget(self.gateway)
            self.gateway = None
            raise


@pytest.fixture(scope="module")
def share_gateway(tmp_path_factory):
    """share_gateway(config) in a module's own fixture `shared`; the tests then use `gw`."""
    starter = Starter(tmp_path_factory.mktemp("shared"))
    yield lambda config: Shared(starter, config)
    starter.finish()


@pytest.fixture
def gw(shared, request):
    """The module's gateway, alive before and after the test, with a clean log."""
    gateway = shared.running()
    gateway.since = gateway.mark()
    request.node.starters = getattr(request.node, "starters", []) + [shared.starter]
    yield gateway
    shared.check()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for starter in getattr(item, "starters", []):
            for gateway in starter.gateways[-3:]:
                report.sections.append(("log of the gateway", gateway.log[-8000:]))


# --- the four ways to reach it ----------------------------------------------------------------------------------------

class Transport:
    """Makes connections to the listeners `plain` and `tls`."""

    def __init__(self, name, certificate):
        self.name, self.certificate = name, certificate
        self.tls, self.bytewise = name.startswith("tls"), name.endswith("bytewise")
        self.scheme = "https" if self.tls else "http"

    def connect(self, gateway, listener=None, **options):
        if listener is None:
            listener = "tls" if self.tls else "plain"
        address = gateway.address(listener)
        return Connection(address, tls=self.certificate.client_context() if self.tls else None,
                          bytewise=self.bytewise, **options)


@pytest.fixture(params=["plain", "plain-bytewise", "tls", "tls-bytewise"])
def transport(request, certificate):
    return Transport(request.param, certificate)


@pytest.fixture(params=["plain", "tls"])
def whole(request, certificate):
    """A transport that sends in one piece, for what does not depend on cuts or would take too long byte by byte."""
    return Transport(request.param, certificate)


# --- certificates -----------------------------------------------------------------------------------------------------

class Certificate:
    """A certificate and key made by the openssl command; self-signed unless there is an issuer."""

    def __init__(self, directory, name, sans, issuer=None, authority=False, rsa=False):
        self.cert, self.key = str(directory / f"{name}.pem"), str(directory / f"{name}.key")
        self.context = None
        key = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        request = ["req", "-x509" if issuer is None else "-new", "-newkey", *key, "-nodes", "-keyout", self.key, "-subj", f"/CN={name}"]
        alternative = "subjectAltName=" + ",".join(sans)
        if issuer is None:
            openssl(*request, "-days", "30", "-out", self.cert, "-addext", alternative)
            os.chmod(self.key, 0o644) # see open_to_all()
            return
        signing, extensions = self.cert + ".csr", self.cert + ".ext"
        openssl(*request, "-out", signing)
        os.chmod(self.key, 0o644)
        with open(extensions, "w", encoding="ascii") as file:
            file.write(f"{alternative}\nbasicConstraints=CA:{'TRUE' if authority else 'FALSE'}\n")
        openssl("x509", "-req", "-in", signing, "-CA", issuer.cert, "-CAkey", issuer.key, "-CAcreateserial", "-days", "30",
                "-extfile", extensions, "-out", self.cert)

    def client_context(self):
        """What a client needs that trusts this certificate alone; one for all, so that sessions can be resumed."""
        if self.context is None:
            self.context = ssl.create_default_context(cafile=self.cert)
            self.context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        return self.context


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="session")
def make_certificate(tmp_path_factory):
    """make_certificate(name, "DNS:...", "IP:...", issuer=None)"""
    directory = tmp_path_factory.mktemp("certificates")
    return lambda name, *sans, **options: Certificate(directory, name, sans or (f"DNS:{name}",), **options)


@pytest.fixture(scope="session")
def certificate(make_certificate):
    """For gateway.test, localhost and the loopback addresses."""
    return make_certificate("gateway.test", "DNS:gateway.test", "DNS:localhost", "IP:127.0.0.1", "IP:::1")


# --- backends ---------------------------------------------------------------------------------------------------------

@pytest.fixture
def backend():
    """backend(...) makes a backends.Backend for this test; without serve= the test itself accepts and answers."""
    made = []

    def make(*arguments, **options):
        made.append(backends.Backend(*arguments, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def recorder():
    """A TCP backend that all tests of a module share; each test accepts its own connection."""
    one = backends.Backend()
    yield one
    one.close()


@pytest.fixture(scope="module")
def refusing():
    one = backends.Refusing()
    yield one
    one.close()


@pytest.fixture(scope="module")
def unanswering():
    one = backends.Unanswering()
    yield one
    one.close()


@pytest.fixture
def artifacts():
    """Where to leave what helps to understand a failure."""
    path = os.environ.get("ARTIFACTS", "artifacts")
    os.makedirs(path, exist_ok=True)
    return path
