"""Static files through the gateway: connections that stay, ranges and conditions, big files, slow readers, and paths that
must lead nowhere."""

import gzip
import hashlib
import os
import time

import pytest

import backends
from sections import listeners, section
from wsclient import BINARY, frame, get, request

BIG = 100 << 20


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A web root; beside it lies what no request may reach."""
    parent = tmp_path_factory.mktemp("web")
    (parent / "secret.txt").write_text("SECRET\n")
    (parent / "root-evil").mkdir()
    (parent / "root-evil" / "secret.txt").write_text("SECRET\n")
    root = parent / "root"
    root.mkdir()
    files = {
        "index.html": "<!doctype html><title>index</title>\n", "hello.txt": "hello, world\n", "app.js": "export {}\n",
        "module.mjs": "export {}\n", "style.css": "body {}\n", "data.json": "{}\n", "image.svg": "<svg/>\n",
        "binary.wasm": "\0asm", "unknown.zzz": "?", "empty.txt": "", "space name.txt": "space\n", "ünï.txt": "unicode\n",
        "percent%41.txt": "percent\n", ".hidden": "SECRET\n", "sub/index.html": "sub index\n", "sub/deep/file.txt": "deep\n",
        ".well-known/security.txt": "Contact: us\n", ".git/config": "SECRET\n", "sub/.hidden": "SECRET\n", "bare/file.txt": "no index here\n", "big.js": "x = 1\n" * 1000,
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "numbers.bin").write_bytes(bytes(range(256)) * 4)
    (root / "big.js.gz").write_bytes(gzip.compress((root / "big.js").read_bytes(), mtime=0))
    (root / "link-inside.txt").symlink_to("hello.txt")
    (root / "link-outside.txt").symlink_to("../secret.txt")
    (root / "link-absolute.txt").symlink_to(parent / "secret.txt")
    (root / "link-back.txt").symlink_to(root / "sub" / "link-on.txt")
    (root / "sub" / "link-on.txt").symlink_to("../hello.txt")
    (root / "link-etc").symlink_to("/etc")
    (root / "link-proc").symlink_to("/proc/self")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture(scope="module")
def big_file(root):
    """(name, SHA-256) of a file of 100 MiB in which no two blocks are the same."""
    block, digest = os.urandom(1 << 20), hashlib.sha256()
    with open(root / "big.bin", "wb") as file:
        for i in range(BIG >> 20):
            piece = i.to_bytes(8, "big") + block[8:]
            file.write(piece)
            digest.update(piece)
    yield "big.bin", digest.hexdigest()
    os.unlink(root / "big.bin")


@pytest.fixture(scope="module")
def echoing():
    one = backends.Backend(serve=backends.serve_echo)
    yield one
    one.close()


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, root, echoing):
    return share_gateway(f"""
[server]
access_log = on
log_level = debug
{listeners(certificate)}
[route files]
path = /*
root = {root}
[route below]
path = /below/*
root = {root}
[route echo]
path = /echo
target = echo:
[route back]
path = /back
target = {echoing.target}
[route bare]
path = /bare-headers/*
root = {root}
cache_control =
content_security_policy =
""")


def fetch(gw, transport, target, method="GET", extra=()):
    with transport.connect(gw) as conn:
        conn.send(get(target, method, extra=extra))
        return conn.read_response(method)


# --- one request --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path, kind", [
    ("index.html", "text/html; charset=utf-8"), ("hello.txt", "text/plain; charset=utf-8"),
    ("app.js", "text/javascript; charset=utf-8"), ("module.mjs", "text/javascript; charset=utf-8"),
    ("style.css", "text/css; charset=utf-8"), ("data.json", "application/json"), ("image.svg", "image/svg+xml"),
    ("binary.wasm", "application/wasm"), ("unknown.zzz", "application/octet-stream"), ("empty.txt", "text/plain; charset=utf-8"),
    ("sub/deep/file.txt", "text/plain; charset=utf-8"), ("link-inside.txt", "text/plain; charset=utf-8"),
])
def test_static_file(gw, transport, root, path, kind):
    response = fetch(gw, transport, "/" + path)
    assert response.status == 200
    assert response.body == (root / path).read_bytes()
    assert response["Content-Type"] == kind
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["ETag"] and response["Last-Modified"]
    assert response["Cache-Control"] == "no-cache"
    assert "default-src" in response["Content-Security-Policy"]


def test_static_headers_left_out(gw, whole):
    response = fetch(gw, whole, "/bare-headers/hello.txt")
    assert response.status == 200
    assert response["Cache-Control"] is None and response["Content-Security-Policy"] is None


@pytest.mark.parametrize("target, body", [
    ("/", b"<!doctype html><title>index</title>\n"), ("/?query=1", b"<!doctype html><title>index</title>\n"),
    ("/hello.txt?v=2", b"hello, world\n"), ("/space%20name.txt", b"space\n"), ("/%c3%bcn%C3%AF.txt", b"unicode\n"),
    ("/percent%2541.txt", b"percent\n"), ("/%68ello.txt", b"hello, world\n"), ("/sub/", b"sub index\n"),
    ("/below/hello.txt", b"hello, world\n"), ("/below/sub/", b"sub index\n"), ("http://gateway.test/hello.txt", b"hello, world\n"),
])
def test_static_targets(gw, transport, target, body):
    response = fetch(gw, transport, target)
    assert (response.status, response.body) == (200, body)


def test_static_head(gw, transport):
    full = fetch(gw, transport, "/hello.txt")
    with transport.connect(gw) as conn: # no body may come, or the next answer would not be read
        conn.send(get("/hello.txt", "HEAD") + get("/data.json"))
        head = conn.read_response("HEAD")
        assert head.status == 200
        assert [f for f in head.fields if f[0] != "date"] == [f for f in full.fields if f[0] != "date"]
        assert conn.read_response().body == b"{}\n"


@pytest.mark.parametrize("target, location", [("/sub", "/sub/"), ("/sub/deep", "/sub/deep/"), ("/below/sub", "/below/sub/"),
                                              ("/sub?x=1", None)])
def test_static_directory_redirects(gw, transport, target, location):
    response = fetch(gw, transport, target)
    assert response.status == 301
    assert response["Location"].split("?")[0] == (location or "/sub/")


@pytest.mark.parametrize("target", ["/bare/", "/nowhere", "/nowhere/", "/hello.txt/", "/hello.txt/x", "/sub/deep/", "/fifo",
                                    "/HELLO.TXT"])
def test_static_not_found(gw, transport, target):
    """No listing, no special files, no file as a directory."""
    response = fetch(gw, transport, target)
    assert response.status == 404
    assert b"file.txt" not in response.body and target.encode() not in response.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"])
def test_static_methods(gw, transport, method):
    response = fetch(gw, transport, "/hello.txt", method)
    assert response.status == 405
    assert {"GET", "HEAD"} <= set(response["Allow"].replace(",", " ").split())


def test_static_gzip(gw, transport, root):
    packed = fetch(gw, transport, "/big.js", extra=["Accept-Encoding: br, gzip"])
    assert (packed["Content-Encoding"], packed["Content-Type"]) == ("gzip", "text/javascript; charset=utf-8")
    assert gzip.decompress(packed.body) == (root / "big.js").read_bytes()
    assert "accept-encoding" in packed["Vary"].lower()
    plain = fetch(gw, transport, "/big.js")
    assert plain["Content-Encoding"] is None and plain.body == (root / "big.js").read_bytes()
    assert "accept-encoding" in plain["Vary"].lower()
    assert plain["ETag"] != packed["ETag"]
    refused = fetch(gw, transport, "/big.js", extra=["Accept-Encoding: gzip;q=0"])
    assert refused["Content-Encoding"] is None


# --- ranges and conditions ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("wanted, first, last", [
    ("bytes=0-0", 0, 0), ("bytes=0-9", 0, 9), ("bytes=10-19", 10, 19), ("bytes=1000-", 1000, 1023), ("bytes=-5", 1019, 1023),
    ("bytes=0-1023", 0, 1023), ("bytes=0-99999", 0, 1023), ("bytes=-99999", 0, 1023), ("bytes=1023-", 1023, 1023),
])
def test_static_range(gw, transport, root, wanted, first, last):
    response = fetch(gw, transport, "/numbers.bin", extra=[f"Range: {wanted}"])
    assert response.status == 206
    assert response["Content-Range"] == f"bytes {first}-{last}/1024"
    assert response.body == (root / "numbers.bin").read_bytes()[first:last + 1]


@pytest.mark.parametrize("wanted", ["bytes=1024-", "bytes=2000-3000", "bytes=-0", "bytes=99999999999999999999-"])
def test_static_range_unsatisfiable(gw, transport, wanted):
    response = fetch(gw, transport, "/numbers.bin", extra=[f"Range: {wanted}"])
    assert response.status == 416
    assert response["Content-Range"] == "bytes */1024"


@pytest.mark.parametrize("wanted", ["bytes=5-4", "bytes=a-b", "bytes=", "bytes", "lines=0-1", "bytes=0-1,5-6", "bytes=--1", "0-1"])
def test_static_range_ignored(gw, transport, wanted):
    """Malformed ranges, other units and several ranges: the whole file."""
    response = fetch(gw, transport, "/numbers.bin", extra=[f"Range: {wanted}"])
    assert (response.status, len(response.body)) == (200, 1024)


def test_static_range_resumes(gw, transport, root):
    """If-Range: the part if the file is still the same, else the whole."""
    tag = fetch(gw, transport, "/numbers.bin", "HEAD")["ETag"]
    same = fetch(gw, transport, "/numbers.bin", extra=["Range: bytes=1000-", f"If-Range: {tag}"])
    other = fetch(gw, transport, "/numbers.bin", extra=["Range: bytes=1000-", 'If-Range: "other"'])
    assert (same.status, len(same.body)) == (206, 24)
    assert (other.status, len(other.body)) == (200, 1024)


def test_static_not_modified(gw, transport):
    first = fetch(gw, transport, "/hello.txt")
    tag, date = first["ETag"], first["Last-Modified"]
    old = "Thu, 01 Jan 1998 00:00:00 GMT"
    for extra, status in (
            ([f"If-None-Match: {tag}"], 304), ([f'If-None-Match: "x", {tag}'], 304), (["If-None-Match: *"], 304),
            ([f"If-None-Match: W/{tag}"], 304), (['If-None-Match: "x"'], 200), ([f"If-Modified-Since: {date}"], 304),
            ([f"If-Modified-Since: {old}"], 200), (["If-Modified-Since: yesterday"], 200),
            (['If-None-Match: "x"', f"If-Modified-Since: {date}"], 200), # the tag goes before the date
            ([f"If-None-Match: {tag}", f"If-Modified-Since: {old}"], 304)):
        with transport.connect(gw) as conn:
            conn.send(get("/hello.txt", extra=extra) + get("/data.json"))
            response = conn.read_response()
            assert response.status == status, extra
            assert response["ETag"] == tag
            assert conn.read_response().body == b"{}\n" # a 304 has no body


def test_static_one_date_for_all(gw, transport, root):
    """Images and stores date every file to the epoch: what was replaced is still told from what a client has, and without
    a date that says nothing."""
    path = root / "dated.txt"
    path.write_text("old code")
    os.utime(path, (1, 1))
    first = fetch(gw, transport, "/dated.txt")
    assert first["Last-Modified"] is None
    tag = f"If-None-Match: {first['ETag']}"
    assert fetch(gw, transport, "/dated.txt", extra=[tag]).status == 304
    (root / "dated.new").write_text("new code")
    os.utime(root / "dated.new", (1, 1))
    (root / "dated.new").rename(path)
    since = "If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT"
    assert [fetch(gw, transport, "/dated.txt", extra=[extra]).status for extra in (tag, since)] == [200, 200]


def test_static_absolute_link_inside(gw, transport):
    """An absolute link is followed as long as it stays in the root, in the sandbox as well."""
    assert fetch(gw, transport, "/link-back.txt").body == b"hello, world\n"


def test_static_link_outside_is_logged_once(start_gateway, whole, certificate, root):
    gateway = start_gateway(listeners(certificate) + section("route web", path="/*", root=root))
    for _ in range(2):
        for path in ("/link-outside.txt", "/link-absolute.txt"):
            assert fetch(gateway, whole, path).status == 404
    assert fetch(gateway, whole, "/hello.txt").status == 200
    gateway.stop()
    told = gateway.find("a link leads out of the web root and is not followed")
    assert [(record.level, record["route"], record["root"], record["path"]) for record in told] == [
        ("warn", "web", str(root), "/link-outside.txt")]


def test_static_well_known(gw, transport):
    """RFC 8615, as certificate authorities and security.txt want it; all other names with a dot in front stay hidden."""
    assert fetch(gw, transport, "/.well-known/security.txt").body == b"Contact: us\n"
    assert fetch(gw, transport, "/sub/.well-known/security.txt").status == 404


# --- connections that stay ------------------------------------------------------------------------------------------------

def test_static_keep_alive(gw, transport):
    with transport.connect(gw) as conn:
        for target, status in (("/hello.txt", 200), ("/", 200), ("/sub", 301), ("/hello.txt", 200), ("/nowhere", 404)):
            conn.send(get(target))
            assert conn.read_response().status == status
        conn.expect_end() # as with every path that is not there


def test_static_pipelined(gw, transport):
    """Answers come in the order of the requests, though all of these came at once."""
    wanted = ["/hello.txt", "/numbers.bin", "/data.json", "/empty.txt", "/sub/deep/file.txt"] * 20
    with transport.connect(gw) as conn:
        sender = conn.send_aside(b"".join(get(t) for t in wanted))
        sizes = [len(conn.read_response().body) for _ in wanted]
        assert sizes == [13, 1024, 3, 0, 5] * 20
        sender.join()


@pytest.mark.parametrize("shift", range(0, 60, 7))
def test_static_pipelined_in_one_record(gw, whole, shift):
    """More requests at once than the gateway reads at once: what stays inside the TLS session wakes nobody, so it must be
    asked for. The shift decides where in a head the reads end."""
    with whole.connect(gw) as conn:
        conn.send(get("/data.json", extra=["X: " + "x" * shift]) + get("/data.json") * 250)
        for _ in range(251):
            assert conn.read_response().status == 200


@pytest.mark.parametrize("path", ["/echo", "/back"])
def test_static_then_upgrade_in_one_record(gw, whole, path):
    """The same with an upgrade and its first frames at the end."""
    data = bytes(range(256)) * 16
    with whole.connect(gw) as conn:
        conn.send(get("/data.json") * 150 + request(path) + frame(BINARY, data))
        for _ in range(150):
            assert conn.read_response().status == 200
        conn.read_101()
        assert conn.read_stream(len(data)) == data


def test_static_close(gw, transport):
    """Connection: close, and HTTP/1.0: one answer, then the end."""
    for raw in (get("/hello.txt", extra=["Connection: close"]), get("/hello.txt", version="HTTP/1.0"),
                get("/hello.txt", version="HTTP/1.0", host=None)):
        with transport.connect(gw) as conn:
            conn.send(raw + get("/data.json"))
            response = conn.read_response()
            assert (response.status, response.body) == (200, b"hello, world\n")
            assert response["Connection"] == "close"
            conn.expect_end()


def test_static_then_upgrade(gw, transport):
    """A connection that fetched a page may become a session."""
    with transport.connect(gw) as conn:
        conn.send(get("/hello.txt") + request("/echo"))
        assert conn.read_response().body == b"hello, world\n"
        conn.read_101()
        conn.expect_echo()


def test_static_bad_request_ends(gw, transport):
    """A malformed request behind a good one: the good one is answered, then 400 and the end."""
    with transport.connect(gw) as conn:
        conn.send(get("/hello.txt") + b"GET /hello.txt HTTP/1.1\nHost: x\n\n" + get("/data.json"))
        assert conn.read_response().status == 200
        assert conn.read_response().status == 400
        conn.expect_end()


def test_static_client_half_closes(gw, transport):
    """A client that has sent all its requests may end its direction and still gets every answer."""
    with transport.connect(gw) as conn:
        conn.send(get("/numbers.bin") + get("/hello.txt"))
        conn.end_sending()
        assert len(conn.read_response().body) == 1024
        assert conn.read_response().body == b"hello, world\n"
        conn.expect_end()


# --- much, and slowly -------------------------------------------------------------------------------------------------------

@pytest.mark.slow
def test_static_big(gw, whole, big_file):
    name, wanted = big_file
    with whole.connect(gw) as conn:
        conn.send(get("/" + name) + get("/hello.txt"))
        head = conn.read_until(b"\r\n\r\n")
        assert f"content-length: {BIG}\r\n".encode() in head.lower()
        digest, left = hashlib.sha256(), BIG
        while left:
            part = conn.read(min(left, 1 << 20))
            digest.update(part)
            left -= len(part)
        assert digest.hexdigest() == wanted
        assert conn.read_response().body == b"hello, world\n"


@pytest.mark.slow
def test_static_slow_reader(gw, whole, big_file):
    """Nobody else waits for a client that reads slowly, nor does the gateway read ahead for it; it gets all of it."""
    name, _ = big_file
    with whole.connect(gw, rcvbuf=16384) as slow:
        slow.send(get("/" + name, extra=[f"Range: bytes=0-{(4 << 20) - 1}"]))
        for _ in range(50):
            assert fetch(gw, whole, "/hello.txt").status == 200
        for _ in range(20):
            slow.sock.settimeout(10)
            slow.buffer += slow.recv()
            time.sleep(0.01) # the slowness itself; nothing waits for it
        response = slow.read_response()
        assert response.status == 206 and len(response.body) == 4 << 20


@pytest.mark.slow
def test_static_abandoned(gw, whole, big_file):
    """Clients that go away in the middle of a file leave nothing behind."""
    name, _ = big_file
    descriptors = f"/proc/{gw.pid}/fd"
    before = None
    for i in range(30):
        with whole.connect(gw, rcvbuf=16384) as conn:
            conn.send(get("/" + name))
            conn.read(1000)
            conn.reset() if i % 2 else conn.close()
        gw.wait_session_end(conn)
        if before is None:
            before = len(os.listdir(descriptors))
    assert len(os.listdir(descriptors)) <= before + 2


# --- where no path may lead -----------------------------------------------------------------------------------------------

DOTS = ["..", "%2e%2e", ".%2e", "%2e.", "%2E%2E", "..%00", "%252e%252e", "..;", "....", "..%5c", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae"]
SLASHES = ["/", "%2f", "%5c", "\\", "//", "%252f", "%c0%af", "/./"]


def traversals():
    for dots in DOTS:
        for slash in SLASHES:
            yield f"/{dots}{slash}secret.txt"
            yield f"/sub{slash}{dots}{slash}{dots}{slash}secret.txt"
            yield f"/below/{dots}{slash}{dots}{slash}secret.txt"
            yield f"/{(dots + slash) * 12}etc/passwd"
    for path in ("//secret.txt", "//etc/passwd", "/%2fetc/passwd", "///etc/passwd", "/..", "/../", "/...", "/%00", "/hello.txt%00",
                 "/hello.txt%00.html", "/%", "/%2", "/%zz", "/../root-evil/secret.txt", "/-evil/secret.txt", "/..root-evil/secret.txt",
                 "/link-outside.txt", "/link-absolute.txt", "/link-etc/passwd", "/link-etc/", "/link-etc", "/link-proc/environ",
                 "/.hidden", "/sub/.hidden", "/.git/config", "/%2ehidden", "/.git", "/.git/", "/./.hidden", "/sub/../.hidden",
                 "/C:/secret.txt", "/file:///etc/passwd", "/~root", "/below/../../secret.txt", "/below%2f..%2f..%2fsecret.txt",
                 "/\\..\\secret.txt", "/..\\secret.txt", "/sub/..\\..\\secret.txt"):
        yield path


def test_static_traversal(gw, whole):
    """Hundreds of forms of leaving the root: none is served, redirected out, or echoed; the connection is the same."""
    targets = list(dict.fromkeys(traversals()))
    assert len(targets) >= 350
    for target in targets:
        response = fetch(gw, whole, target)
        assert b"SECRET" not in response.body and b"root:" not in response.body, target
        assert response.status in (400, 404) or response.status == 301, (target, response)
        if response.status == 301:
            location = response["Location"]
            assert location.startswith("/") and not location.startswith(("//", "/\\")) and "\r" not in location, (target, location)


@pytest.mark.parametrize("target", ["//evil.test/sub", "//evil.test/..;/sub", "/\\evil.test/%2e%2e", "//sub", "///sub", "/%2fsub",
                                    "//evil.test/%2e%2e/sub", "/%5cevil.test", "//%0d%0aX-Injected:1/sub", "/sub%0d%0aX-Injected:%201"])
def test_static_no_open_redirect(gw, whole, target):
    response = fetch(gw, whole, target)
    assert response.status in (301, 400, 404)
    assert response["X-Injected"] is None
    if response.status == 301:
        assert response["Location"].startswith("/") and not response["Location"].startswith(("//", "/\\"))


# --- the access log -------------------------------------------------------------------------------------------------------

def test_static_access_log(gw, whole):
    """A line for each request, whatever is in its path, and one line only; without the query, which may have a password in it."""
    target = '/sub/deep/quote"%0a%1b[31m'
    since = gw.mark()
    with whole.connect(gw) as conn:
        for wanted in ("/sub/deep/file.txt?password=x", "/numbers.bin?x", target):
            conn.send(get(wanted, extra=["Range: bytes=0-9"] if "numbers" in wanted else ()))
            conn.read_response()
    gw.wait_session_end(conn)
    records = gw.find("request", since=since, peer=conn.peer_text)
    assert [r["status"] for r in records] == ["200", "206", "404"]
    assert [r["path"] for r in records] == ["/sub/deep/file.txt", "/numbers.bin", target]
    assert {r["method"] for r in records} == {"GET"} and records[1]["bytes"] == "10"


def test_static_access_log_off(start_gateway, root, whole, certificate):
    """Off by default: files leave no trace at the usual log level."""
    gw = start_gateway(listeners(certificate) + section("route files", root=root))
    assert fetch(gw, whole, "/hello.txt").status == 200
    gw.stop()
    assert "hello.txt" not in gw.log


def test_static_quick_form(start_gateway, root, whole, certificate):
    """--web beside a target: files for plain requests, the target for upgrades, on the same paths."""
    tls = ["--cert", certificate.cert, "--key", certificate.key, "--tls", "on"] if whole.tls else []
    gw = start_gateway.quick("--web", root, *tls, "127.0.0.1:0", "echo:")
    with whole.connect(gw, 0) as conn:
        conn.send(get("/hello.txt"))
        assert conn.read_response().body == b"hello, world\n"
        conn.upgrade("/hello.txt")
        conn.expect_echo()
