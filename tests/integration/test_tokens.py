"""Tokens: what of a directory is a token file, what a mistyped line costs and whom, and files that change while they are used."""

import contextlib
import os
import select
import signal

import pytest

import backends
from gateway import find_instrument, open_to_all, wait_until
from inside import is_asleep, steward_of
from sections import section
from test_config import run
from test_sandbox import reload
from test_steward import is_gone
from wsclient import Connection, request

LISTEN = "[listen plain]\naddress = 127.0.0.1:0\n"
# From loopback too, a single guess is one too many.
STRICT = "[server]\nsource_exempt = 192.0.2.1\nsource_penalty_auth = 1h\nsource_penalty_min = 1m\n"


@pytest.fixture
def tokens(tmp_path):
    """A directory for token files that is not that of the configuration, which is in the sandbox anyhow."""
    directory = tmp_path / "tokens"
    directory.mkdir()
    open_to_all(directory)
    return directory


@pytest.fixture
def echo(backend):
    return backend(serve=backends.serve_echo)


def ask(gateway, token):
    """The answer to an upgrade with this query."""
    with Connection(gateway.address("plain")) as client:
        client.send(request("/?" + token))
        return client.read_response()


def status(gateway, token):
    return ask(gateway, f"token={token}").status


def start(start_gateway, path, **server):
    return start_gateway(STRICT + "".join(f"{name} = {value}\n" for name, value in server.items()) + LISTEN +
                         section("route r", token_file=path))


MEMBERS = {
    "nothing else": lambda at: None,
    "lost+found": lambda at: (at / "lost+found").mkdir(mode=0o700),
    "a directory": lambda at: (at / "more").mkdir(mode=0o755),
    "a swap file": lambda at: (at / ".desks.swp").touch(mode=0o600),
    "a closed backup": lambda at: (at / "desks~").touch(mode=0o600),
    "a closed file": lambda at: (at / "other").touch(mode=0o600),
    "a link to nowhere": lambda at: (at / "gone").symlink_to("nowhere"),
    "a link that leads out": lambda at: (at / "out").symlink_to("/etc/passwd"),
    "a FIFO": lambda at: os.mkfifo(at / "fifo", 0o644),
    "a large file": lambda at: (at / "large").write_bytes(bytes((1 << 20) + 1)),
}


@pytest.mark.parametrize("sandbox", ["on", "off"])
@pytest.mark.parametrize("what", MEMBERS)
def test_token_directory_unknown(start_gateway, tokens, echo, what, sandbox):
    """Whatever lies in it, a token that is in no file is unknown: refused with 403, and guessing has its price."""
    (tokens / "desks").write_text(f"one: {echo.target[4:]}\n")
    MEMBERS[what](tokens)
    off = sandbox == "off" and not find_instrument() # for an instrument it is off anyhow
    gateway = start(start_gateway, tokens, **({"sandbox": "off"} if off else {}))
    assert [status(gateway, token) for token in ("one", "guess", "one")] == [101, 403, 429]


def test_token_directory_tells_what_it_leaves_out(start_gateway, tokens):
    for name in ("a link to nowhere", "a link that leads out", "a large file"):
        MEMBERS[name](tokens)
    gateway = start(start_gateway, tokens)
    for _ in range(2):
        status(gateway, "guess")
    told = [r.line.split("token_file: ")[1].split(": ")[0] for r in gateway.find() if r.level == "warn" and "token_file: " in r.line]
    assert told == [f"{tokens}/{name}" for name in ("gone", "large", "out")]


def test_token_directory_of_links(start_gateway, tokens, echo):
    """As Kubernetes mounts a ConfigMap: each file is a link by way of ..data, which is swapped when the map changes."""
    for number in (1, 2):
        (tokens / f"..{number}").mkdir()
        (tokens / f"..{number}" / "desks").write_text(f"token{number}: {echo.target[4:]}\n")
    (tokens / "..data").symlink_to("..1")
    (tokens / "desks").symlink_to("..data/desks")
    gateway = start_gateway(LISTEN + section("route d", path="/", token_file=tokens) +
                            section("route f", path="/file", token_file=tokens / "desks"))

    def both(token):
        with Connection(gateway.address("plain")) as client:
            client.send(request(f"/file?token={token}"))
            return [status(gateway, token), client.read_response().status]
    assert both("token1") == [101, 101]
    (tokens / "..new").symlink_to("..2")
    (tokens / "..new").rename(tokens / "..data")
    assert both("token2") == [101, 101]
    assert both("token1") == [403, 403]


FAULTS = {
    "no port": ("secret: 127.0.0.1", "the target has no port"),
    "a bad port": ("secret: 127.0.0.1:99999", "the port must be a number"),
    "a scheme": ("secret: tcp://127.0.0.1:5900", "a host name has letters"),
    "a remark": ("secret: 127.0.0.1:5900 # lab", "the port must be a number"),
    "TLS": ("secret: tls:127.0.0.1:5900", "without TLS"),
    "no blank": ("secret:127.0.0.1:5900", "no colon with a blank after it"),
    "no colon": ("secret 127.0.0.1:5900", "no colon with a blank after it"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_token_faulty_line(start_gateway, tokens, fault):
    """The administrator's mistake costs the visitor nothing, and the log has file, line and cure, at the start and then."""
    line, words = FAULTS[fault]
    path = tokens / "file"
    path.write_text(f"# a remark\n{line}\n")
    gateway = start(start_gateway, path)
    at_start = [r.line for r in gateway.find() if f"{path}:2: " in r.line]
    assert len(at_start) == 1 and "[route r] token_file: " in at_start[0] and words in at_start[0]
    assert [status(gateway, "secret") for _ in range(2)] == [500, 500]
    ended = gateway.wait_for("session end")
    assert ended["reason"] == "tokens_unreadable"
    assert ended["detail"].startswith(f"{path}:2: ") and words in ended["detail"]
    assert "secret" not in gateway.log


def test_token_faulty_line_after_a_change(start_gateway, tokens, echo):
    path = tokens / "file"
    path.write_text(f"one: {echo.target[4:]}\n")
    gateway = start(start_gateway, path)
    assert status(gateway, "one") == 101
    path.write_text(f"one: {echo.target[4:]}\ntwo: nowhere\n")
    assert [status(gateway, token) for token in ("one", "two", "one")] == [101, 500, 101]
    gateway.wait_for("session end", count=4)
    assert [r.level for r in gateway.find() if f"{path}:2: " in r.line and r.event != "session end"] == ["warn"]
    path.unlink()
    assert [status(gateway, "one") for _ in range(2)] == [500, 500]
    gateway.wait_for("session end", count=6)
    assert len([r for r in gateway.find() if f"{path}: No such file" in r.line and r.event != "session end"]) == 1


def test_token_check(tmp_path, tokens):
    """-t reads token files as well."""
    (tokens / "file").write_text("one: 127.0.0.1:1\ntwo: nowhere\n")
    config = tmp_path / "c.conf"
    config.write_text(LISTEN + section("route r", host="*", token_file=tokens))
    done = run("-t", "-c", config)
    place = f"warning: {config}:5: [route r] token_file: {tokens}"
    assert (done.returncode, done.lines) == (0, [f"{place}/file:2: the target has no port: a line is NAME: HOST:PORT"])
    config.write_text(LISTEN + section("route r", host="*", token_file=tokens / "none"))
    assert run("-t", "-c", config).lines == [f"{place}/none: No such file or directory"]


@pytest.mark.parametrize("query", ["", "x=1", "token", "token=", "tokens=one"])
def test_token_missing(start_gateway, tokens, query):
    """A URL without a token is no guess: the words say what it lacks, and nobody is punished for it."""
    (tokens / "file").write_text("one: 127.0.0.1:1\n")
    gateway = start(start_gateway, tokens)
    for _ in range(2):
        answer = ask(gateway, query)
        assert answer.status == 403 and b"?token=NAME" in answer.body
    assert gateway.wait_for("session end")["reason"] == "token_missing"


@pytest.mark.parametrize("line", ["  one: {}", "one:\t{} \t", "one: localhost:{port}", "one: :{port}", "one: ::ffff:{}"])
def test_token_line_as_websockify_takes_it(start_gateway, tokens, echo, line):
    (tokens / "file").write_text("\n" + line.format(echo.target[4:], port=echo.port) + "\r\n")
    assert status(start(start_gateway, tokens / "file"), "one") == 101


# --- guessing ---------------------------------------------------------------------------------------------------------

def test_token_guesses_on_connections_older_than_the_penalty(start_gateway, tokens, echo):
    """A source that is refused makes no guess more, on whatever connection; others are not touched."""
    (tokens / "one").write_text(f"one: 127.0.0.1:{echo.port}\n")
    gateway = start(start_gateway, tokens / "one")
    sent = request("/?token=guess")
    old = [Connection(gateway.address("plain"), source="127.9.77.1") for _ in range(10)]
    for client in old:
        client.send(sent[:20])
    answers = []
    for client in old:
        with client:
            client.send(sent[20:])
            answers.append(client.read_response().status)
    assert answers == [403] + 9 * [429]
    assert status(gateway, "one") == 101


# --- files that take their time ---------------------------------------------------------------------------------------

ECHO = section("route e", path="/echo", target="echo:")


@contextlib.contextmanager
def stopped_steward(gateway):
    """Nothing is opened in this block."""
    steward = steward_of(gateway)
    os.kill(steward, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(steward, signal.SIGCONT)


@pytest.fixture
def hung(start_gateway, tokens, echo):
    """Starts a gateway whose token file has changed and can't be opened as long as the block lasts: who opens it is stopped."""
    if find_instrument() == "valgrind":
        pytest.skip("valgrind is a parent of its own")

    @contextlib.contextmanager
    def hang(listen="", **server):
        (tokens / "desks").write_text("old: 127.0.0.1:1\n")
        gateway = start_gateway("[server]\nworkers = 1\n" + "".join(f"{name} = {value}\n" for name, value in server.items()) +
                                LISTEN + listen + section("route r", token_file=tokens / "desks") + ECHO)
        with stopped_steward(gateway):
            (tokens / "desks").write_text(f"one: {echo.target[4:]}\n")
            yield gateway
    return hang


def ask_for(gateway, token, source=None):
    client = Connection(gateway.address("plain"), source=source)
    client.send(request(f"/?token={token}"))
    return client


def is_silent(client):
    return not select.select([client.sock], [], [], 0)[0]


def check_other_sessions(gateway):
    with Connection(gateway.address("plain")) as client:
        client.upgrade("/echo")
        client.expect_echo()


def test_token_file_that_hangs_delays_nobody_else(hung):
    """The worker's other sessions go on, and so do new ones; who waits gets what the file says by then."""
    with hung() as gateway, Connection(gateway.address("plain")) as before:
        before.upgrade("/echo")
        waiting = [ask_for(gateway, token) for token in 20 * ["one"] + ["old"]]
        check_other_sessions(gateway)
        before.expect_echo()
        assert all(map(is_silent, waiting))
    answers = [client.read_response().status for client in waiting]
    assert answers == 20 * [101] + [403]
    for client in waiting:
        client.close()


def test_token_file_that_hangs_and_the_deadline(hung):
    with hung(listen="handshake_timeout = 1s\n") as gateway:
        with ask_for(gateway, "one") as client:
            assert client.read_response().status == 500
        ended = gateway.wait_for("session end")
        assert (ended["reason"], ended.level) == ("tokens_unreadable", "error")
        check_other_sessions(gateway)
    assert status(gateway, "one") == 101


def test_token_file_that_hangs_and_a_drain(hung):
    with hung() as gateway, ask_for(gateway, "one") as client:
        check_other_sessions(gateway)
        gateway.signal(signal.SIGTERM)
        assert client.read_response().status == 503
        client.close()
        wait_until(lambda: is_gone(gateway.pid))


def test_token_file_that_hangs_and_a_reload(hung):
    """A reload needs the steward itself, and goes on when that does; who waits keeps the files it began with."""
    with hung() as gateway:
        waiting = ask_for(gateway, "one")
        check_other_sessions(gateway)
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: is_asleep(gateway.pid))
    with waiting:
        assert waiting.read_response().status == 101
    gateway.wait_for("configuration was reloaded")
    assert status(gateway, "one") == 101


def test_token_guesses_at_once_while_the_file_hangs(hung):
    """Who waits together has one guess together: the others learn no more than that their source is refused."""
    terms = {"source_exempt": "192.0.2.1", "source_penalty_auth": "1h", "source_penalty_min": "1m"}
    with hung(**terms) as gateway:
        guesses = [ask_for(gateway, "guess", "127.9.77.1") for _ in range(10)]
        right = ask_for(gateway, "one", "127.9.77.1")
        check_other_sessions(gateway)
    assert [client.read_response().status for client in guesses] == [403] + 9 * [429]
    assert right.read_response().status == 429
    for client in [*guesses, right]:
        client.close()


def test_token_file_that_stays_is_not_opened(start_gateway):
    """A file that has not changed for long is only looked at: nobody waits for who would open it."""
    if find_instrument() == "valgrind":
        pytest.skip("valgrind is a parent of its own")
    gateway = start_gateway(LISTEN + section("route r", token_file=os.path.realpath(os.__file__)))
    with stopped_steward(gateway):
        assert status(gateway, "guess") == 403


def test_token_file_is_a_fifo(start_gateway, tokens):
    os.mkfifo(tokens / "fifo", 0o644)
    gateway = start_gateway(LISTEN + section("route r", token_file=tokens / "fifo") + ECHO)
    assert status(gateway, "one") == 500
    assert gateway.wait_for("session end")["detail"] == f"{tokens}/fifo: is neither a file nor a directory"
    check_other_sessions(gateway)


def test_token_directory_elsewhere_after_a_reload(start_gateway, tokens, echo):
    """One that nobody named at the start, and one that was replaced as a whole."""
    server = "[server]\nsandbox_ports = any\n"
    gateway = start_gateway(server + LISTEN + ECHO)
    (tokens / "a").mkdir()
    (tokens / "a" / "desks").write_text(f"one: {echo.target[4:]}\n")
    assert "configuration was reloaded" in reload(gateway, server + LISTEN + section("route r", token_file=tokens / "a") + ECHO)
    assert [status(gateway, token) for token in ("one", "two")] == [101, 403]
    (tokens / "a").rename(tokens / "b")
    (tokens / "a").mkdir()
    (tokens / "a" / "desks").write_text(f"two: {echo.target[4:]}\n")
    assert [status(gateway, token) for token in ("two", "one")] == [101, 403]
