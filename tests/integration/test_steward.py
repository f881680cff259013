"""The steward, the second process: it binds addresses and looks names up for a gateway that has given up the rights to."""

import contextlib
import ctypes
import os
import random
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from gateway import TIMEOUT, find_instrument, wait_until
from inside import children, limit_descriptors_of, steward_of, thread_status
from test_daemon import roots # a fixture
from test_sandbox import ECHO, LISTEN, ROOT, answer, as_root, check_echo, connect, get, in_own_mounts, reload
from wsclient import Connection, request

LOW_PORTS = 1 << 10 # CAP_NET_BIND_SERVICE
READ_ANY = 1 << 2   # CAP_DAC_READ_SEARCH
ANY_FILE = 1 << 1   # CAP_DAC_OVERRIDE
GONE = "the steward, process "


@pytest.fixture(autouse=True)
def only_by_itself():
    if find_instrument():
        pytest.skip(f"{find_instrument()} is a parent of its own")


def free_port():
    """Below those that the kernel gives to whoever connects, which would be in the way of all addresses."""
    while True:
        with contextlib.suppress(OSError), socket.create_server(("", random.randrange(20000, 32000))) as free:
            return free.getsockname()[1]


def is_gone(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()[0] in "ZX"
    return True


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_steward_keeps_few_rights(start_gateway, sandbox):
    """It is the gateway's user, with rights to low ports and to read if it had them, and the same filter, on each of its threads."""
    gateway = start_gateway(f"[server]\nsandbox = {sandbox}\nresolver_threads = 3\nworkers = 2\n" + LISTEN + ECHO)
    check_echo(gateway)
    threads = thread_status(steward_of(gateway))
    assert len(threads) == 1 + 3 + 2 + 3 + 1, "orders, names, files of each worker, of each helper, of a reload"
    for status in threads.values():
        assert int(status["CapPrm"], 16) == (LOW_PORTS | READ_ANY if ROOT else 0)
        assert int(status["CapEff"], 16) == (LOW_PORTS if ROOT else 0), "what reads the rest is in force only for a reload"
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
        assert not ROOT or "0" not in status["Uid"].split() + status["Gid"].split()
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == ("2" if sandbox == "on" else "0")


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_reload_binds_another_port(start_gateway, sandbox):
    """One that nobody named at the start, and one that only root may have."""
    base = f"[server]\nsandbox = {sandbox}\n" + LISTEN
    gateway = start_gateway(base + ECHO)
    more = f"[listen more]\naddress = 127.0.0.1:{free_port()}" + (", 127.0.0.93:93" if ROOT else "") + "\n"
    said = reload(gateway, base + more + ECHO)
    assert "configuration was reloaded" in said, said
    with socket.create_connection(("127.0.0.93", 93) if ROOT else ("127.0.0.1", int(more.split(":")[1].split()[0]))):
        pass


@pytest.mark.parametrize("before, after", [("*", "127.0.0.1"), ("127.0.0.1", "*"), ("localhost", "127.0.0.1")])
def test_reload_changes_the_address_of_a_port(start_gateway, before, after):
    """The new address is listened on before the old one goes, and then the port is nobody else's."""
    port = free_port()
    text = "[listen a]\naddress = {}:" + str(port) + "\n" + ECHO
    gateway = start_gateway(text.format(before))
    said = reload(gateway, text.format(after))
    assert "configuration was reloaded" in said, said
    with Connection(("127.0.0.1", port)) as client:
        client.upgrade("/echo")
        client.expect_echo()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError):
            other.bind(("127.0.0.1", port))
            other.listen()


def test_reload_of_two_addresses_that_cover_each_other(start_gateway):
    """Both would stay: that is no change of an address, and a start would refuse it, too."""
    port = free_port()
    text = f"[listen a]\naddress = 127.0.0.1:{port}\n"
    gateway = start_gateway(text + ECHO)
    said = reload(gateway, text + f"address = *:{port}\n" + ECHO)
    assert f"listens on 127.0.0.1:{port} ([listen a])" in said and "reload refused" in said
    check_echo(gateway, listener="a")


@contextlib.contextmanager
def stopped(pid):
    """As if it waited for a disk that does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_reload_waits_for_files_aside(start_gateway):
    """Who connects meanwhile is served, and what is written meanwhile is read: another signal makes it begin anew."""
    gateway = start_gateway(LISTEN + ECHO)
    with stopped(steward_of(gateway)):
        gateway.signal(signal.SIGHUP)
        check_echo(gateway)
        gateway.config.write_text(LISTEN + ECHO.replace("/echo", "/other"))
        gateway.signal(signal.SIGHUP)
        check_echo(gateway)
        check_echo(gateway)
    gateway.wait_for("configuration was reloaded")
    check_echo(gateway, "/other")
    assert len(gateway.find("configuration was reloaded")) == 1


def test_stop_waits_for_no_steward(start_gateway):
    """Neither for files of a reload, nor for a name."""
    gateway = start_gateway(LISTEN + ECHO + "[route desk]\npath = /desk\ntarget = desk.invalid:1\nconnect_timeout = 1s\n")
    with stopped(steward_of(gateway)), connect(gateway) as client:
        client.send(request("/desk"))
        gateway.signal(signal.SIGHUP)
        check_echo(gateway)
        gateway.terminate()
        assert gateway.wait() == 0


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_steward_killed(start_gateway, tmp_path, sandbox):
    """The gateway says so, serves on with what it has, and starts no other."""
    text = f"[server]\nsandbox = {sandbox}\n" + LISTEN + "[route no]\npath = /no\ntarget = desk.invalid:1\n" + ECHO
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "a.txt").write_text("a")
    text += f"[route web]\npath = /*\nroot = {tmp_path}/web\n"
    gateway = start_gateway(text)
    assert get(gateway, "/a.txt").status == 200
    steward = steward_of(gateway)
    os.kill(steward, signal.SIGKILL)
    wait_until(lambda: any(GONE + str(steward) in r.line and r.level == "error" for r in gateway.find()))
    check_echo(gateway)
    assert get(gateway, "/a.txt").status == 500
    assert answer(gateway, "/no") in (502, 504)
    for more in ("", f"[listen more]\naddress = unix:{tmp_path}/more\n"):
        said = reload(gateway, text + more)
        assert "the steward" in said and "restart" in said and "reload refused" in said
    check_echo(gateway)
    assert not children(gateway.pid)


def test_steward_ends_with_the_gateway(start_gateway):
    """Whatever ended it; a signal that a terminal or a service manager sends to all does not end the steward first."""
    gateway = start_gateway(LISTEN + ECHO)
    steward = steward_of(gateway)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        os.kill(steward, number)
    said = reload(gateway, LISTEN + f"[listen more]\naddress = 127.0.0.1:{free_port()}\n" + ECHO)
    assert "configuration was reloaded" in said
    gateway.kill()
    start_gateway.forget(gateway)
    wait_until(lambda: is_gone(steward))
    gateway = start_gateway(LISTEN + ECHO, name="again.conf")
    steward = steward_of(gateway)
    gateway.stop()
    wait_until(lambda: is_gone(steward))


def own_etc(path):
    """A directory to stand in the place of /etc."""
    etc = path / "etc"
    etc.mkdir()
    for name in ("passwd", "group", "ld.so.cache"):
        shutil.copyfile(f"/etc/{name}", etc / name)
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    (etc / "resolv.conf").touch()
    return etc


def check_door(path):
    with Connection(str(path)) as client:
        client.upgrade("/echo")
        client.expect_echo()


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_reload_makes_a_socket_elsewhere(start_gateway, sandbox):
    """In a directory that nobody named at the start; its file goes with the listener, but no other that has taken its place."""
    base = f"[server]\nsandbox = {sandbox}\n" + LISTEN + ECHO
    gateway = start_gateway(base)
    with tempfile.TemporaryDirectory(prefix="sallyport-elsewhere-") as directory:
        os.chmod(directory, 0o777)
        one, two = Path(directory, "one"), Path(directory, "two")
        reload(gateway, base + f"[listen one]\naddress = unix:{one}\nunix_mode = 0600\n[listen two]\naddress = unix:{two}\n")
        check_door(one)
        check_door(two)
        assert stat.S_IMODE(one.stat().st_mode) == 0o600
        reload(gateway, base + f"[listen two]\naddress = unix:{two}\n")
        assert not one.exists()
        check_door(two)
        two.unlink()
        two.write_text("another's")
        gateway.stop()
        assert two.read_text() == "another's"


@as_root
@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_reload_of_what_is_roots_alone(start_gateway, roots, make_certificate, certificate, sandbox):
    """Configuration, conf.d, and a tree of links as certbot makes it, all closed to the user, and all replaced by rename."""
    live, archive, more = roots / "live", roots / "archive", roots / "conf.d"
    for directory in (live, archive, more):
        directory.mkdir(mode=0o700)

    def renew(new, number):
        for source, name in ((new.cert, "cert"), (new.key, "key")):
            shutil.copyfile(source, archive / f"{name}{number}.pem")
            (archive / f"{name}{number}.pem").chmod(0o600)
            (live / "new").symlink_to(f"../archive/{name}{number}.pem")
            (live / "new").rename(live / f"{name}.pem")

    def write(path, text):
        (roots / "new").write_text(text)
        (roots / "new").chmod(0o600)
        (roots / "new").rename(path)

    renew(certificate, 1)
    write(roots / "s.conf", f"[server]\nsandbox = {sandbox}\n[listen tls]\naddress = 127.0.0.1:0\ntls = on\n")
    write(more / "tls.conf", f"[tls t]\ncertificate = {live}/cert.pem\nkey = {live}/key.pem\nclient_certificate = optional\nclient_ca = {live}/cert.pem\n")
    write(more / "route.conf", ECHO)
    gateway = start_gateway.from_file(str(roots / "s.conf"), ["tls"])
    check_echo(gateway, "/echo", "tls", tls=certificate.client_context())
    assert "may not read" not in gateway.log
    renewed = make_certificate("renewed", "DNS:gateway.test")
    renew(renewed, 2)
    write(more / "route.conf", ECHO.replace("/echo", "/other"))
    write(roots / "s.conf", (roots / "s.conf").read_text() + "# another\n")
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: "configuration was reloaded" in gateway.log)
    check_echo(gateway, "/other", "tls", tls=renewed.client_context())
    assert "refused system call" not in gateway.log


def memory_has(pid, secret):
    """Whether it stands anywhere in the memory of a process."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            first, last = (int(number, 16) for number in line.split()[0].split("-"))
            with contextlib.suppress(OSError, OverflowError, ValueError):
                memory.seek(first)
                if secret in memory.read(last - first):
                    return True
    return False


@as_root
def test_no_key_in_the_stewards_memory(start_gateway, certificate):
    """It opens keys, and never reads one; neither that of the start nor that of a reload."""
    key = subprocess.run(["openssl", "pkey", "-in", certificate.key, "-noout", "-text"], check=True, capture_output=True, text=True).stdout
    digits = re.search(r"priv(?:ate)?(?:Exponent)?:\s+((?:[0-9a-f]{2}:?\s*)+)", key)[1]
    secret = bytes.fromhex(re.sub(r"[:\s]", "", digits)).lstrip(b"\0")
    gateway = start_gateway("[listen tls]\naddress = 127.0.0.1:0\ntls = on\n" + ECHO + f"[tls t]\ncertificate = {certificate.cert}\nkey = {certificate.key}\n")
    for _ in range(2):
        reload(gateway)
        for form in (secret, secret[::-1]): # as it is written, and as a computer of this kind has a number
            assert not memory_has(steward_of(gateway), form)
    assert any(memory_has(gateway.pid, form) for form in (secret, secret[::-1])), "the test finds one that is there"


@as_root
def test_no_right_behind_a_planted_link(start_gateway, roots, tmp_path, certificate):
    """Who could move a file that the configuration names has the steward open what he could open himself."""
    (tmp_path / "c.pem").symlink_to(certificate.cert)
    shutil.copyfile(certificate.key, roots / "k.pem")
    (roots / "k.pem").chmod(0o600)
    (tmp_path / "k.pem").symlink_to(roots / "k.pem")
    (roots / "k2.pem").symlink_to(tmp_path / "k.pem")
    for key in (tmp_path / "k.pem", roots / "k2.pem"):
        gateway = start_gateway("[listen tls]\naddress = 127.0.0.1:0\ntls = on\n" + ECHO +
                                f"[tls t]\ncertificate = {tmp_path}/c.pem\nkey = {key}\n", name=f"{key.stem}.conf")
        assert f"key {key}: permission denied" in reload(gateway)


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_refused_reload_takes_nothing_away(start_gateway, tmp_path, certificate, sandbox):
    """What was in force is still opened after a reload that named something else, and failed late, and failed again."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "a.txt").write_text("a")
    base = f"[server]\nsandbox = {sandbox}\n" + LISTEN
    gateway = start_gateway(base + f"[route web]\npath = /*\nroot = {tmp_path}/web\n")
    for _ in range(2):
        said = reload(gateway, base + ECHO + f"[listen tls]\naddress = 127.0.0.1:0\ntls = on\n[tls t]\ncertificate = {certificate.cert}\nkey = {tmp_path}/none\n")
        assert "no such file" in said and "reload refused" in said
        assert get(gateway, "/a.txt").body == b"a"


@as_root
@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_sockets_where_only_root_makes_files(start_gateway, roots, sandbox):
    """As in /run: at a reload, too, and they are removed there. The right to is in force for nothing else."""
    base = f"[server]\nsandbox = {sandbox}\n" + ECHO
    one, two = f"[listen one]\naddress = unix:{roots}/one\n", f"[listen two]\naddress = unix:{roots}/two\nunix_group = daemon\n"
    gateway = start_gateway(base + one)
    reload(gateway, base + one + two.replace("unix_group = daemon\n", ""))
    check_door(roots / "one")
    check_door(roots / "two")
    assert (roots / "two").stat().st_uid != 0
    for status in thread_status(steward_of(gateway)).values():
        assert int(status["CapPrm"], 16) == LOW_PORTS | ANY_FILE | READ_ANY and int(status["CapEff"], 16) == LOW_PORTS
    reload(gateway, base + one)
    assert not (roots / "two").exists()
    gateway.stop()
    assert not (roots / "one").exists()


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_log_after_its_directory_was_replaced(start_gateway, tmp_path, sandbox):
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o777)
    os.chmod(logs, 0o777)
    gateway = start_gateway(f"[server]\nsandbox = {sandbox}\nlog = file:{logs}/log\n" + LISTEN + ECHO, ready=False)
    wait_until(lambda: (logs / "log").exists() and "listening" in (logs / "log").read_text())
    logs.rename(tmp_path / "old")
    logs.mkdir()
    os.chmod(logs, 0o777)
    gateway.signal(signal.SIGUSR1)
    wait_until(lambda: (logs / "log").exists() and "log was reopened" in (logs / "log").read_text())


@as_root
@pytest.mark.parametrize("sandbox", ["on", "off"])
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_log_where_only_root_makes_files(start_gateway, roots, sandbox, mode):
    """As in /var/log: it is opened anew after it was rotated away, for the user, and by whom it was made before."""
    log = roots / "logs" / "log"
    log.parent.mkdir(mode=mode)
    gateway = start_gateway(f"[server]\nsandbox = {sandbox}\nlog = file:{log}\n" + LISTEN + ECHO, ready=False)
    wait_until(lambda: log.exists() and "sandbox" in log.read_text())
    for turn in range(2):
        log.rename(roots / "logs" / f"log.{turn}")
        if turn == 1:
            log.touch(mode=0o600) # as logrotate makes it
        gateway.signal(signal.SIGUSR1)
        wait_until(lambda: log.exists() and "log was reopened" in log.read_text())
        assert (log.stat().st_uid == 0) == (turn == 1)
    gateway.stop()


def test_log_without_a_steward(start_gateway, tmp_path):
    """The old file stays in use, and says why."""
    log, old, door = tmp_path / "log", tmp_path / "log.1", tmp_path / "door"
    gateway = start_gateway(f"[server]\nlog = file:{log}\n[listen door]\naddress = unix:{door}\n" + ECHO, ready=False)
    wait_until(lambda: door.exists() and "sandbox" in log.read_text())
    os.kill(steward_of(gateway), signal.SIGKILL)
    wait_until(lambda: GONE in log.read_text())
    log.rename(old)
    gateway.signal(signal.SIGUSR1)
    wait_until(lambda: "log was not reopened" in old.read_text())
    assert old.read_text().count("is gone") == 2
    check_door(door)
    assert not log.exists()


@as_root
@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_names_after_hosts_was_replaced(start_gateway, tmp_path, backend, sandbox):
    """By a file of the same name, as sed -i and DHCP clients do it: names are looked up in the new one."""
    etc = own_etc(tmp_path)
    (etc / "hosts").write_text("127.0.0.1 other.test\n")
    gateway = start_gateway(f"[server]\nsandbox = {sandbox}\n" + LISTEN + f"[route one]\npath = /one\ntarget = desk.test:{backend().port}\n",
                            prefix=in_own_mounts('mount --bind "$1" /etc', etc))
    assert answer(gateway, "/one") == 502
    (etc / "hosts.new").write_text("127.0.0.1 desk.test\n")
    (etc / "hosts.new").rename(etc / "hosts")
    assert answer(gateway, "/one") == 101


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_web_root_was_replaced(start_gateway, tmp_path, sandbox):
    """By a link that leads elsewhere, or another directory of that name: what is there now is served, without a reload."""
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    (tmp_path / "web").symlink_to("one")
    gateway = start_gateway(f"[server]\nsandbox = {sandbox}\n" + LISTEN + f"[route web]\npath = /*\nroot = {tmp_path}/web\n")
    assert get(gateway, "/a.txt").body == b"one"
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "web")
    assert get(gateway, "/a.txt").body == b"two"
    (tmp_path / "web").unlink()
    (tmp_path / "three").rename(tmp_path / "web")
    assert get(gateway, "/a.txt").body == b"three"


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_reload_names_a_web_root_elsewhere(start_gateway, sandbox):
    """That was not there at the start; one that no longer is named is served no longer."""
    base = f"[server]\nsandbox = {sandbox}\n" + LISTEN + ECHO
    gateway = start_gateway(base)
    with tempfile.TemporaryDirectory(prefix="sallyport-elsewhere-") as directory:
        os.chmod(directory, 0o755)
        Path(directory, "a.txt").write_text("a")
        reload(gateway, base + f"[route web]\npath = /*\nroot = {directory}\n")
        assert get(gateway, "/a.txt").body == b"a"
        reload(gateway, base)
        assert get(gateway, "/a.txt").status == 404


@as_root
@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_own_names_after_a_reload(start_gateway, tmp_path, sandbox):
    """The names that the hosts file gives this machine, also after it was replaced by a file of the same name."""
    etc = own_etc(tmp_path)
    (etc / "hosts").write_text(f"127.0.1.1 {socket.gethostname()} alias.test\n")
    gateway = start_gateway(f"[server]\nsandbox = {sandbox}\n" + LISTEN + ECHO + "host = own\n", prefix=in_own_mounts('mount --bind "$1" /etc', etc))

    def status(host):
        with connect(gateway) as client:
            client.send(request("/echo", host=host))
            return client.read_response().status
    for _ in range(2):
        assert status("alias.test") == 101 and status("later.test") == 403
        reload(gateway)
    (etc / "hosts.new").write_text(f"127.0.1.1 later.test {socket.gethostname()}\n")
    (etc / "hosts.new").rename(etc / "hosts")
    reload(gateway)
    assert status("later.test") == 101 and status("alias.test") == 403


@as_root
def test_reload_names_a_group_that_nobody_knows(start_gateway, tmp_path):
    """Whatever the name service needs to find that out, the steward has it already."""
    etc = own_etc(tmp_path)
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files hesiod\nhosts: files\n")
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] # root looks groups up at the start
    gateway = start_gateway(LISTEN + ECHO, prefix=in_own_mounts('mount --bind "$1" /etc', etc) + as_nobody)
    said = reload(gateway, LISTEN + ECHO + f"[listen door]\naddress = unix:{tmp_path}/door\nunix_group = nobodys\n")
    assert 'there is no group "nobodys"' in said and "reload refused" in said, said
    gateway.stop()


def test_reload_without_room_for_its_sockets_is_refused(start_gateway):
    """What the steward opened, and the gateway had no number for, is not taken for a listener without sockets."""
    gateway = start_gateway(LISTEN + ECHO)
    pid = gateway.pid
    taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    last = next(n for n in range(1000) if n + 1 - len(taken & set(range(n + 1))) == 4)
    before = limit_descriptors_of(pid, last + 1)
    more = ", ".join(f"127.0.0.{n}:0" for n in range(2, 12))
    said = reload(gateway, LISTEN + f"[listen more]\naddress = {more}\n" + ECHO)
    assert "cannot take what the steward opened: Too many open files" in said and "reload refused" in said, said
    limit_descriptors_of(pid, before)
    assert "configuration was reloaded" in reload(gateway)
    assert {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")} >= taken
    check_echo(gateway)


@as_root
def test_more_addresses_than_a_name_may_have(start_gateway, tmp_path):
    """Of a name the first 16 are taken; a list has as many as it names."""
    etc = own_etc(tmp_path)
    (etc / "host.conf").write_text("multi on\n")
    (etc / "hosts").write_text("".join(f"127.1.0.{n} many.test\n" for n in range(1, 21)))
    listed = ",\n ".join(f"127.2.0.{n}:0" for n in range(1, 41))
    more = f"[listen many]\naddress = many.test:0\n[listen list]\naddress = {listed}\n"
    gateway = start_gateway(LISTEN + more + ECHO, prefix=in_own_mounts('mount --bind "$1" /etc', etc))

    gateway.wait_for("listening", listen="list", count=40)
    assert len(gateway.find("listening", listen="many")) == 16
    assert "configuration was reloaded" in reload(gateway, LISTEN + ECHO)
    mark = gateway.mark()
    assert "configuration was reloaded" in reload(gateway, LISTEN + more + ECHO)
    gateway.wait_for("listening", since=mark, listen="list", count=40)
    assert len(gateway.find("listening", since=mark, listen="many")) == 16
    assert GONE not in gateway.log
    check_echo(gateway)


def waits_for_steward(pid):
    """Whether a thread waits for a message."""
    names = {Path(f"/proc/{pid}/task/{tid}/wchan").read_text(encoding="ascii") for tid in os.listdir(f"/proc/{pid}/task")}
    if names <= {"", "0"}:
        pytest.skip("where a thread waits is not told here")
    return any("skb_wait_for_more" in name for name in names)


@as_root
def test_reading_that_hangs_holds_nothing_up(start_gateway, tmp_path):
    """The log is not reopened then, which the log says; but sessions come and go, and the gateway ends."""
    door = tmp_path / "door"
    log = tmp_path / "log"
    gateway = start_gateway(f"[server]\nlog = file:{log}\n[listen door]\naddress = unix:{door}\n" + ECHO, ready=False)
    wait_until(lambda: log.exists() and "listening" in log.read_text())
    steward = steward_of(gateway)
    os.kill(steward, signal.SIGSTOP)
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: waits_for_steward(gateway.pid))
    gateway.signal(signal.SIGUSR1)
    wait_until(lambda: "log was not reopened" in log.read_text())
    check_door(door)
    gateway.terminate()
    wait_until(lambda: gateway.process.poll() is not None)
    os.kill(steward, signal.SIGKILL)
    gateway.stop()


FAN_CLASS_CONTENT, FAN_CLOEXEC, FAN_MARK_ADD, FAN_ACCESS_PERM, FAN_ALLOW = 4, 1, 1, 0x20000, 1


def hold_reading(fan, path, by, others):
    """Waits for that process to read the file, which it can't until fan is closed; the others can."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.fanotify_mark(fan, FAN_MARK_ADD, ctypes.c_uint64(FAN_ACCESS_PERM), -1, os.fsencode(path)) == 0
    yield
    while True:
        assert select.select([fan], [], [], TIMEOUT)[0], "nobody reads it"
        for *_, fd, pid in struct.iter_unpack("IBBHQii", os.read(fan, 24)):
            os.close(fd)
            if pid == by:
                return
            assert pid in others
            os.write(fan, struct.pack("iI", fd, FAN_ALLOW))


@as_root
def test_gateway_ends_while_a_file_hangs(start_gateway):
    """The thread of a reload is waited for, but not for ever."""
    gateway = start_gateway(LISTEN + ECHO)
    fan = ctypes.CDLL(None).fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, os.O_RDONLY)
    if fan < 0:
        pytest.skip("reading cannot be held up here")
    with os.fdopen(fan):
        held = hold_reading(fan, gateway.config, gateway.pid, [steward_of(gateway)])
        next(held)
        gateway.signal(signal.SIGHUP)
        assert next(held, None) is None
        gateway.terminate()
        wait_until(lambda: gateway.process.poll() is not None)
    assert "a file is still being read, and hangs" in gateway.log
    gateway.stop()


def test_another_gateway_cannot_share_a_port(start_gateway):
    """What lets an address change lets nobody in: the second one says that the port is taken."""
    gateway = start_gateway(LISTEN + ECHO)
    other = start_gateway(f"[listen plain]\naddress = 127.0.0.1:{gateway.port()}\n" + ECHO, name="other.conf", ready=False)
    assert other.wait() == 1
    assert "Address already in use" in other.log
    start_gateway.forget(other)
