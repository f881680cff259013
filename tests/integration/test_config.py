"""Configuration and command line as an administrator meets them: what is refused, in which words, with which status."""

import grp
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess

import pytest

from gateway import find_instrument, open_to_all
from inside import thread_status
from wsclient import Connection, get

SALLYPORT = os.environ["SALLYPORT"]
SOURCE = pathlib.Path(__file__).resolve().parents[2]
NO_TARGET = "a target is HOST:PORT, unix:/path, unix:@name, tls:HOST:PORT or echo:"
EXAMPLES = sorted(path.stem for path in (SOURCE / "conf" / "examples").iterdir())
GOOD = "[listen l]\naddress = 127.0.0.1:0\n[route r]\ntarget = localhost:5900\n"


def run(*arguments, cwd=None):
    """Runs to the end; lines are those of standard error."""
    done = subprocess.run([SALLYPORT, *map(str, arguments)], cwd=cwd, timeout=60, text=True, capture_output=True)
    done.lines = done.stderr.splitlines()
    return done


@pytest.fixture
def check(tmp_path):
    """Checks a configuration by its text; FILE in the complaints stands for its path."""

    def check(text):
        path = tmp_path / "s.conf"
        path.write_text(text)
        done = run("-t", "-c", path)
        done.lines = [line.replace(str(path), "FILE") for line in done.lines]
        return done

    return check


def refused(done, *lines):
    assert done.returncode == 1
    assert done.lines == list(lines)
    assert done.stdout == ""


def certificate(directory, name):
    """A self-signed certificate and its key, in two files."""
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "30", "-subj", f"/CN={name}", "-keyout", key, "-out", cert], check=True, capture_output=True)
    key.chmod(0o644) # for whom the gateway becomes
    return cert, key


# --- good ones --------------------------------------------------------------------------------------------------------

def test_good_file_is_fine(tmp_path):
    path = tmp_path / "s.conf"
    path.write_text(GOOD + "host = own\n")
    done = run("--test", "--config", path)
    assert (done.returncode, done.stdout, done.lines) == (0, f"{path}: configuration is fine\n", [])


def test_quick_form_is_checked_too(tmp_path):
    cert, key = certificate(tmp_path, "one")
    (tmp_path / "web").mkdir()
    done = run("-t", "6080", "localhost:5900", "--web", tmp_path / "web", "--cert", cert, "--key", key, "--tls", "auto",
               "--origin", "https://a.example,https://b.example", "--origin=null", "--workers", 2,
               "--log-level", "debug")
    assert (done.returncode, done.stdout, done.lines) == (0, "command line: configuration is fine\n", [])


def test_check_looks_where_files_are_to_be_made(check, tmp_path):
    log, sock = tmp_path / "no" / "x.log", tmp_path / "neither" / "s"
    text = GOOD.replace(":0", f":0, unix:{sock}") + f"[server]\nlog = file:{log}\n"
    done = check(text)
    words = "No such file or directory; a start would fail as long as that is so"
    assert done.returncode == 0
    assert [line for line in done.lines if "cannot be made" in line] == [
        f"warning: FILE:2: [listen l] address: {sock} cannot be made: {sock.parent}: {words}",
        f"warning: FILE:6: [server] log: {log} cannot be made: {log.parent}: {words}"]
    log.parent.mkdir()
    sock.parent.mkdir()
    assert not any("cannot be made" in line for line in check(text).lines)


def test_check_binds_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        assert run("-t", f"127.0.0.1:{busy.getsockname()[1]}", "echo:").returncode == 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_passes(name, tmp_path):
    """Each example is fine once the files that it names are there."""
    text = (SOURCE / "conf" / "examples" / f"{name}.conf").read_text()
    (tmp_path / "web").mkdir()
    for directory in re.findall(r"^root = (.*)$", text, re.MULTILINE):
        text = text.replace(directory, f"{tmp_path}/web")
    made = {pathlib.Path(path).stem for path in re.findall(r"^certificate = (.*)$", text, re.MULTILINE)}
    for stem in made | {"backend-ca"}:
        certificate(tmp_path, stem)
    (tmp_path / "tokens").touch()
    text = text.replace("/etc/sallyport", str(tmp_path)).replace("/run/sallyport", str(tmp_path)).replace("/etc/ssl/sallyport", str(tmp_path)).replace("user = sallyport", "user = nobody") # who is there
    path = tmp_path / f"{name}.conf"
    path.write_text(text)
    done = run("-t", "-c", path)
    assert (done.returncode, done.lines) == (0, [])


def test_shipped_configuration_says_what_it_lacks(tmp_path):
    path = SOURCE / "conf" / "sallyport.conf"
    refused(run("-t", "-c", path), f"{path}: nothing to listen on: there is no section [listen NAME]",
            f"{path}: every request would be refused: there is no section [route NAME]")


# --- bad ones: place, cause and cure ----------------------------------------------------------------------------------

BAD = {
    "unknown option": (GOOD + "prot = 1\npatj = /x\n", [
        'FILE:5: [route r] unknown option "prot"',
        'FILE:6: [route r] unknown option "patj"; did you mean "path"?']),
    "option in capitals or with a dash": (GOOD + "Path = /x\nidle-timeout = 5s\n", [
        'FILE:5: [route r] unknown option "Path"; did you mean "path"?',
        'FILE:6: [route r] unknown option "idle-timeout"; did you mean "idle_timeout"?']),
    "blanks between items": (GOOD.replace(":0", ":0 [::1]:0") + "host = a.example b.example\n", [
        'FILE:2: [listen l] address: "127.0.0.1:0 [::1]:0": an IPv6 address needs brackets: [::1]:PORT; separate items by commas',
        'FILE:5: [route r] host: "a.example b.example" is not a host name: write a full name without scheme, port or wildcard; or own; '
        'or *; separate items by commas']),
    "option of another section": ("[server]\naddress = 1\n" + GOOD, [
        'FILE:2: [server] unknown option "address"; it belongs to [listen NAME]']),
    "unknown section": (GOOD + "[rout b]\ntarget = a:1\n", ['FILE:5: unknown section [rout]; did you mean "route"?']),
    "bad number": ("[server]\nworkers = two\n" + GOOD, [
        'FILE:2: [server] workers: "two" is not a number from 0 to 2147483647']),
    "bad duration": (GOOD + "idle_timeout = 5\n", [
        'FILE:5: [route r] idle_timeout: "5" is not a duration; write a number followed by ms, s, m, h or d: 30s']),
    "bad target": (GOOD + "[route b]\npath = /b\ntarget = localhost\n", [
        f'FILE:7: [route b] target: "localhost": {NO_TARGET}']),
    "given twice": (GOOD + "target = localhost:2\n", ["FILE:5: [route r] target: given already, in FILE:4"]),
    "indented": (GOOD + "host = a\n  path = /x\n", [
        "FILE:6: the line is indented, so it would continue the option above; begin it in the first column"]),
    "indented after a section": ("[server]\n  workers = 1\n" + GOOD, [
        "FILE:2: the line is indented, and there is no option above that it could continue"]),
    "long line": (GOOD + "host = " + "a" * 300 + "\n", [
        "FILE:5: the line has 307 bytes; 198 are allowed. Continue a value on indented lines below"]),
    "comment in a value": (GOOD + "cache_control = no-store # never\n", [
        "FILE:5: '#' begins a comment only at the start of a line; use ';', or put the value in double quotes"]),
    "TLS without certificate": (GOOD.replace(":0", ":0\ntls = on"), [
        "FILE:3: [listen l] tls: needs a certificate: a section [tls NAME] with certificate = FILE"]),
    "routes that tie": (GOOD + "[route s]\ntarget = localhost:1\n", [
        "FILE:5: [route s] takes the same requests as [route r]; give one of them another path, host or listen"]),
    "listener that is not there": (GOOD + "listen = k, public\n", [
        "FILE:5: [route r] listen: there is no [listen k]", "FILE:5: [route r] listen: there is no [listen public]"]),
    "water marks": (GOOD + "high_water = 1m\n", ["FILE:5: [route r] high_water: must be at most 192k"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused(check, name):
    text, complaints = BAD[name]
    refused(check(text), *complaints)


def test_values_go_on_in_indented_lines(start_gateway, tmp_path):
    """A policy and a list over many lines, with comments between them, each longer than a line may be."""
    sources = [f"https://{i:02}.a-host-with-a-long-name.example" for i in range(40)]
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.html").write_text("page")
    gateway = start_gateway("\n".join([
        "[listen l]", "address = 127.0.0.1:0", "[route r]", "path = /echo", "target = echo:", "origin =",
        *(f"    {source}," for source in sources[:-1]), f"    {sources[-1]}", "[route w]", f"root = {tmp_path}/web",
        "content_security_policy = default-src 'self';", "    ; who may send pictures",
        "    img-src", *(f"\t{source}" for source in sources[:-1]), f"    {sources[-1]};", "    connect-src 'self'"]))
    with Connection(gateway.address()) as conn:
        conn.send(get("/"))
        policy = conn.read_response()["Content-Security-Policy"]
    assert policy == f"default-src 'self'; img-src {' '.join(sources)}; connect-src 'self'"
    for origin in (sources[0], sources[-1]):
        with Connection(gateway.address()) as conn:
            conn.upgrade("/echo", origin=origin)
            conn.expect_echo()


def test_all_complaints_in_one_pass(check):
    text = "".join(f"[route r{i}]\npath = r{i}\ntarget = echo:\nfoo = 1\n" for i in range(20))
    done = check("[listen l]\naddress = 1\n" + text)
    assert len(done.lines) == 40
    assert done.lines[:2] == ['FILE:4: [route r0] path: "r0" is not a path; write /exact or /prefix/*', 'FILE:6: [route r0] unknown option "foo"']
    assert done.lines[-1] == 'FILE:82: [route r19] unknown option "foo"'


def test_complaints_beyond_measure_are_counted(check):
    done = check(GOOD + "".join(f"x{i} = 1\n" for i in range(1000)))
    assert re.fullmatch(r"and \d+ more", done.lines[-1])
    assert len(done.lines) - 1 + int(done.lines[-1].split()[1]) == 1000


def test_start_refuses_as_the_check_does(tmp_path):
    path = tmp_path / "s.conf"
    path.write_text(GOOD + "foo = 1\n")
    started, checked = run("-c", path), run("-t", "-c", path)
    assert started.returncode == 1
    assert started.stderr == checked.stderr


def test_files_that_are_missing_or_no_files(tmp_path):
    missing = tmp_path / "missing.conf"
    refused(run("-t", "-c", missing), f"{missing}: cannot be read: No such file or directory")
    refused(run("-t", "-c", tmp_path), f"{tmp_path}: cannot be read: Is a directory")


def test_directory_beside_is_read_in_order(tmp_path):
    path, directory = tmp_path / "s.conf", tmp_path / "conf.d"
    directory.mkdir()
    path.write_text("[listen l]\naddress = 127.0.0.1:0\n")
    (directory / "20.conf").write_text("[route b]\npath = /b\ntarget = echo:\nfoo = 1\n")
    (directory / "10.conf").write_text("[route a]\npath = /a\ntarget = echo:\nbar = 1\n")
    (directory / "10.conf~").write_text("nonsense")
    refused(run("-t", "-c", "s.conf", cwd=tmp_path), 'conf.d/10.conf:4: [route a] unknown option "bar"',
            'conf.d/20.conf:4: [route b] unknown option "foo"')
    (directory / "10.conf").unlink()
    (directory / "20.conf").write_text("[route b]\npath = /b\ntarget = echo:\n")
    assert run("-t", "-c", path).returncode == 0


# --- what the configuration names -------------------------------------------------------------------------------------

def with_tls(cert, key, more=""):
    return GOOD.replace(":0", ":0\ntls = on") + f"[tls t]\ncertificate = {cert}\nkey = {key}\n{more}"


def names(done, *words):
    """One complaint that has all the words."""
    assert done.returncode == 1
    assert len(done.lines) == 1, done.lines
    for word in words:
        assert str(word) in done.lines[0]


def test_certificate_is_checked(check, tmp_path):
    cert, key = certificate(tmp_path, "one")
    _, other = certificate(tmp_path, "two")
    missing, broken = tmp_path / "missing.pem", tmp_path / "broken.pem"
    broken.write_text("no certificate\n")

    assert check(with_tls(cert, key)).returncode == 0
    names(check(with_tls(missing, key)), "[tls t]", "certificate", missing, "no such file")
    names(check(with_tls(tmp_path, key)), "[tls t]", "certificate", tmp_path, "is a directory")
    names(check(with_tls(broken, key)), "[tls t]", "certificate", broken)
    names(check(with_tls(cert, missing)), "[tls t]", "key", missing, "no such file")
    names(check(with_tls(cert, tmp_path)), "[tls t]", "key", tmp_path, "is a directory")
    names(check(with_tls(cert, other)), "[tls t]", "key", other, "does not belong")
    asked = with_tls(cert, key, f"client_certificate = required\nclient_ca = {missing}\n")
    names(check(asked), "[tls t]", "client_ca", missing)


def test_web_root_and_authorities_are_checked(check, tmp_path):
    missing = tmp_path / "missing"
    done = check(GOOD + f"host = own\n[route w]\nroot = {missing}\n[route t]\nhost = own\npath = /t\ntarget = tls:a:1\ntarget_ca = {missing}\n")
    assert done.returncode == 1
    assert len(done.lines) == 2
    assert any(line.startswith("FILE:7: [route w]") and str(missing) in line for line in done.lines)
    assert any(line.startswith("FILE:12: [route t]") and str(missing) in line for line in done.lines)


def as_nobody(tmp_path):
    """How to run as an ordinary user who can read the directory."""
    open_to_all(tmp_path)
    return {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}


@pytest.mark.parametrize("words", [["-t"], []], ids=["check", "start"])
@pytest.mark.parametrize("root", [True, False], ids=["root", "nobody"])
@pytest.mark.parametrize("user, complaint", [
    ("sallyprot", 'there is no user "sallyprot"; create it, or name another'),
    ("root", 'user "root" is root; sallyport does not run as root, name an unprivileged user'),
])
def test_user_is_checked(tmp_path, words, root, user, complaint):
    path = tmp_path / "s.conf"
    path.write_text(f"[server]\nsandbox = off\nuser = {user}\n" + GOOD + "host = own\n")
    who = {} if root else as_nobody(tmp_path)
    done = subprocess.run([SALLYPORT, *words, "-c", path], timeout=60, text=True, capture_output=True, check=False, **who)
    assert done.returncode == 1
    assert done.stderr == f"{path}:3: [server] user: {complaint}\n"


def test_owners_of_sockets_are_checked(tmp_path, check):
    text = f"[listen l]\naddress = unix:{tmp_path}/s\nunix_user = nobady\nunix_group = nogroop\n[route r]\ntarget = echo:\nhost = own\n"
    refused(check(text), 'FILE:3: [listen l] unix_user: there is no user "nobady"',
            'FILE:4: [listen l] unix_group: there is no group "nogroop"')
    assert check(text.replace("nobady", "nobody").replace("nogroop", "4711")).returncode == 0
    refused(check(text.replace(f"unix:{tmp_path}/s", "unix:@s")), "FILE:3: [listen l] unix_user: has no effect without an address of the form unix:/path",
            "FILE:4: [listen l] unix_group: has no effect without an address of the form unix:/path")


@pytest.mark.skipif(os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0,
                    reason="a directory in which only root writes is needed")
@pytest.mark.parametrize("lines, user, group", [
    ("unix_user = daemon\nunix_group = 4711", pwd.getpwnam("daemon").pw_uid, 4711), ("unix_group = daemon", None, grp.getgrnam("daemon").gr_gid),
    ("", None, None),
])
def test_sockets_have_the_owner_that_is_named(start_gateway, lines, user, group):
    prefix = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o mode=755 tmpfs /mnt && exec "$@"', "sh"]
    gateway = start_gateway(f"[listen l]\naddress = unix:/mnt/s\nunix_mode = 0640\n{lines}\n[route r]\ntarget = echo:\n", prefix=prefix)
    made = os.stat(f"/proc/{gateway.pid}/root/mnt/s")
    status = thread_status(gateway.pid)[gateway.pid] # None: the gateway's own
    own_user, own_group = (int(status[ids].split()[0]) for ids in ("Uid", "Gid"))
    assert (made.st_uid, made.st_gid) == (own_user if user is None else user, own_group if group is None else group)
    assert made.st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_only_root_becomes_another_user(tmp_path):
    path = tmp_path / "s.conf"
    path.write_text("[server]\nuser = daemon\n" + GOOD + "host = own\n")
    who = as_nobody(tmp_path)
    check = subprocess.run([SALLYPORT, "-t", "-c", path], timeout=60, text=True, capture_output=True, check=False, **who)
    assert check.returncode == 0
    assert check.stderr.startswith(f"warning: {path}:2: [server] user: only root can switch to user daemon; this check was made as nobody")
    start = subprocess.run([SALLYPORT, "-c", path], timeout=60, text=True, capture_output=True, check=False, **who)
    assert start.returncode == 1
    assert f"{path}:2: [server] user: cannot switch to user \"daemon\"" in start.stderr
    assert start.stderr.rstrip().endswith("start it as root, or leave user out")


def test_port_in_use_is_one_clear_line(tmp_path):
    words, server = (["--sandbox", "off"], "[server]\nsandbox = off\n") if find_instrument() else ([], "")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = "127.0.0.1:%d" % busy.getsockname()[1]
        done = run(*words, address, "echo:")
        names(done, address, "Address already in use")
        path = tmp_path / "s.conf"
        path.write_text(server + GOOD.replace("127.0.0.1:0", address) + "host = own\n")
        names(run("-c", path), address, "Address already in use")


def test_faults_of_tls_have_the_line_of_their_option(tmp_path, check):
    cert, key = certificate(tmp_path, "one")
    text = GOOD.replace(":0", ":0\ntls = on") + f"[tls a]\ncertificate = {cert}\nkey = {key}\n"
    bad = check(text.replace(f"key = {key}", f"key = {cert}") + "groups = P-1\nciphers = none\n")
    assert [re.match(r"FILE:(\d+): \[tls a\] (\w+)", line).groups() for line in bad.lines] == [
        ("8", "key"), ("9", "groups"), ("10", "ciphers")]
    target = check(GOOD.replace("localhost:5900", "tls:localhost:1") + "target_ca = /nowhere.pem\n")
    assert target.lines[1:] == ["FILE:5: [route r] target_ca /nowhere.pem: no such file"]


# --- the command line -------------------------------------------------------------------------------------------------

USAGE = {
    (): "nothing to do: give [ADDR:]PORT TARGET, or -c FILE",
    ("-t",): "nothing to do: give [ADDR:]PORT TARGET, or -c FILE",
    ("--bogus",): "unknown option --bogus",
    ("-z",): "unknown option -z",
    ("-c",): "-c needs a value",
    ("6080", "echo:", "--web"): "--web needs a value",
    ("6080",): "missing TARGET for listener 6080",
    ("6080", "echo:", "--key", "k.pem"): "--key needs --cert FILE",
    ("6080", "echo:", "more"): 'unexpected argument "more"',
    ("6080", "echo:", "--token-file", "f"): "give either TARGET or --token-file",
    ("-c", "f", "6080"): "with -c only --test may be given; put everything else in the file",
    ("-c", "f", "--tls", "on"): "with -c only --test may be given; put everything else in the file",
    ("-c", "f", "--origin", "*"): "with -c only --test may be given; put everything else in the file",
}


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_usage_error(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.lines == [f"sallyport: {USAGE[arguments]}; try --help"]


def test_quick_form_complaints():
    refused(run("-t", "6080", "echo:", "--subprotocol", "a" * 256 + "," + "b" * 257),
            'command line: --subprotocol: "bbbbbbbbbbbbbbbbbbbb..." is longer than 256 bytes')
    refused(run("x", "y", "--workers", "many", "--log-level", "loud", "--tls", "maybe", "--origin", "example.com"),
            'command line: --workers: "many" is not a number from 0 to 2147483647',
            'command line: --log-level: "loud" is none of: error, warn, info, debug',
            'command line: [ADDR:]PORT: "x": the port must be a number from 0 to 65535',
            'command line: --tls: "maybe" is none of: off, on, auto',
            f'command line: TARGET: "y": {NO_TARGET}',
            'command line: --origin: "example.com" is not an origin; write scheme://host[:port], scheme://*.domain[:port], file://, null or *')
    refused(run("6080", "echo:", "--tls", "on"), "command line: --tls: needs a certificate: --cert FILE")
    refused(run("6080", "echo:", "--tls", "off", "--cert", "c.pem"),
            "command line: --cert: would never be used: no listener has tls = on or tls = auto")


def test_longest_subprotocol_is_agreed_to(start_gateway):
    longest = "a" * 256
    gateway = start_gateway.quick("127.0.0.1:0", "echo:", "--subprotocol", "mqtt, " + longest)
    for offered in ("mqtt", longest):
        with Connection(gateway.address()) as conn:
            assert conn.upgrade(protocol=offered)["Sec-WebSocket-Protocol"] == offered


def test_quick_form_names_missing_files(tmp_path):
    words = ["--sandbox", "off"] if find_instrument() else [] # the steward has begun by then
    names(run(*words, "127.0.0.1:0", "echo:", "--cert", tmp_path / "c.pem"), "command line: ", tmp_path / "c.pem", "no such file")
    names(run(*words, "127.0.0.1:0", "echo:", "--web", tmp_path / "web"), "command line: ", tmp_path / "web")


def test_information_goes_to_standard_output():
    for option, words in (("--help", ["usage:", "--token-file"]),
                          ("--version", ["sallyport ", "libevent 2.", "OpenSSL 3."]),
                          ("--defaults", ["[server]", ";[route NAME]", ";high_water = 128k"])):
        done = run(option)
        assert (done.returncode, done.stderr) == (0, "")
        for word in words:
            assert word in done.stdout


def test_output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        assert subprocess.run([SALLYPORT, "--defaults"], stdout=full, timeout=60).returncode == 1


def test_quick_form_runs_and_stops():
    words = ["--sandbox", "off"] if find_instrument() else []
    gateway = subprocess.Popen([SALLYPORT, *words, "127.0.0.1:0", "echo:"], stderr=subprocess.PIPE, text=True)
    try:
        found = next(filter(None, (re.search(r" listening .*127\.0\.0\.1:(\d+)", line) for line in gateway.stderr)))
        port = int(found.group(1))
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 101 ")
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(timeout=40) == 0
    finally:
        gateway.kill()
        gateway.wait()
        gateway.stderr.close()
