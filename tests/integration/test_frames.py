"""Frames (RFC 6455 sections 5 to 8), a test for each rule fr_*.

Against `echo:`, which shows types and borders, and against a raw backend, which shows what reached it: all of the good
frames and nothing of a bad one. Timers of the gateway are set far away, so only right behaviour can end a session.
"""

import os

import pytest

from wsclient import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, EndOfStream, close_frame, close_payload, frame


@pytest.fixture(scope="module")
def shared(share_gateway, certificate, recorder, refusing):
    def route(name, target, **options):
        lines = [f"[route {name}]", f"path = /{name}", f"target = {target}"]
        patient = {"close_timeout": "60s", "ping_interval": "0"}
        return "\n".join(lines + [f"{key} = {value}" for key, value in {**patient, **options}.items()]) + "\n"

    return share_gateway(f"""
[server]
workers = 2
drain_timeout = 5s
[listen plain]
address = 127.0.0.1:0
linger_timeout = 60s
[listen tls]
address = 127.0.0.1:0
linger_timeout = 60s
tls = on
[tls default]
certificate = {certificate.cert}
key = {certificate.key}
""" + route("echo", "echo:") + route("raw", recorder.target)
        + route("binary", recorder.target, accept="binary") + route("text", recorder.target, accept="text")
        + route("echo-binary", "echo:", accept="binary") + route("echo-text", "echo:", accept="text")
        + route("send-text", recorder.target, send="text")
        + route("small", recorder.target, max_message=1000) + route("echo-small", "echo:", max_message=1000)
        + route("rate", recorder.target, max_frame_rate=200)
        + route("idle", recorder.target, idle_timeout="300ms") + route("lifetime", recorder.target, lifetime="300ms")
        + route("refused", refusing.target) + route("refused-hasty", refusing.target, close_timeout="300ms")
        + route("hasty", recorder.target, close_timeout="300ms"))


class Session:
    """An open session and the backend's end of it."""

    def __init__(self, gw, transport, recorder, target="/raw"):
        recorder.drop_waiting()
        self.conn = transport.connect(gw)
        self.conn.upgrade(target)
        self.peer = recorder.accept()

    def __enter__(self):
        return self.conn, self.peer

    def __exit__(self, *_):
        self.conn.close()
        self.peer.close()


def table(*rows):
    names = [row[0] for row in rows]
    assert len(set(names)) == len(names), "two rows of one name"
    return pytest.mark.parametrize("bad", [pytest.param(row[1], id=row[0]) for row in rows])


def check_violation(gw, transport, recorder, bad, code=1002, reached=b"", target="/raw"):
    """A good frame, the bad one, another good one: the backend gets the first alone (and what the bad one may have let
    through, reached), then its end. We get the Close, then the end, and have said nothing of our own."""
    with Session(gw, transport, recorder, target) as (conn, peer):
        kind = TEXT if "text" in target else BINARY
        conn.send(frame(kind, b"before") + bad + frame(kind, b"after") + frame(PING, b"after"))
        conn.expect_close(code)
        got = peer.read_to_end()
        assert got.startswith(b"before") and (b"before" + reached).startswith(got), got
        peer.close()
        conn.close()
        end = gw.wait_session_end(conn)
        assert end["code"] == str(code)
        assert int(end["bytes_up"]) == len(got)


def check_violation_echo(gw, transport, bad, code=1002, target="/echo"):
    """The same against echo: all that comes before the Close is the first message."""
    with transport.connect(gw) as conn:
        conn.upgrade(target)
        kind = TEXT if "text" in target else BINARY
        conn.expect_echo(b"before", kind)
        conn.send(bad + frame(kind, b"after") + frame(PING, b"after"))
        got, data = conn.read_close()
        assert got.close_code == code, got
        conn.expect_end()
        return data


# --- the header -------------------------------------------------------------------------------------------------------

@table(
    ("binary", frame(BINARY, b"naked", mask=None)),
    ("text", frame(TEXT, b"naked", mask=None)),
    ("empty", frame(BINARY, b"", mask=None)),
    ("long", frame(BINARY, b"n" * 300, mask=None)),
    ("ping", frame(PING, b"naked", mask=None)),
    ("pong", frame(PONG, b"", mask=None)),
    ("close", close_frame(1000, mask=None)),
    ("first-fragment", frame(BINARY, b"naked", fin=False, mask=None)),
    ("continuation", frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"naked", mask=None)),
)
def test_fr_unmasked(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad)


def test_fr_server_unmasked(gw, transport, recorder):
    """read_frame() refuses masked frames; here every kind and length of frame comes past it."""
    with transport.connect(gw) as conn:
        conn.upgrade()
        for length in (0, 1, 125, 126, 65535, 65536):
            conn.expect_echo(b"m" * length)
        conn.send(frame(PING, b"p") + close_frame(1000))
        assert conn.read_frame().opcode == PONG
        conn.expect_close(1000)


@table(
    *[(f"rsv-{rsv:03b}-on-{name}", frame(opcode, b"x", rsv=rsv)) for rsv in (1, 2, 4) for name, opcode in
      (("binary", BINARY), ("text", TEXT), ("ping", PING), ("pong", PONG))],
    ("all-three", frame(BINARY, b"x", rsv=7)),
    ("on-close", close_frame(1000, rsv=4)),
    ("on-first-fragment", frame(TEXT, b"x", fin=False, rsv=4)),
    ("on-continuation", frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"x", rsv=4)),
    ("on-empty", frame(BINARY, b"", rsv=4)),
)
def test_fr_rsv(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad)


@table(*[(f"{opcode:x}{'' if fin else '-more'}{'-empty' if not payload else ''}", frame(opcode, payload, fin=fin))
         for opcode in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF) for fin, payload in ((True, b"x"), (False, b"x"), (True, b""))])
def test_fr_opcode(gw, whole, recorder, bad):
    check_violation(gw, whole, recorder, bad)


@pytest.mark.parametrize("opcode", [3, 7, 0xB, 0xF])
def test_fr_opcode_bytewise(gw, transport, opcode):
    check_violation_echo(gw, transport, frame(opcode, b"x"))


@table(
    ("16-bits-for-0", frame(BINARY, b"", form=16)),
    ("16-bits-for-1", frame(BINARY, b"x", form=16)),
    ("16-bits-for-125", frame(BINARY, b"x" * 125, form=16)),
    ("64-bits-for-0", frame(BINARY, b"", form=64)),
    ("64-bits-for-125", frame(BINARY, b"x" * 125, form=64)),
    ("64-bits-for-126", frame(BINARY, b"x" * 126, form=64)),
    ("64-bits-for-65535", frame(BINARY, b"x" * 65535, form=64)),
    ("ping-16-bits", frame(PING, b"x", form=16)),
    ("continuation", frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"x", form=16)),
)
def test_fr_len_minimal(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad)


@table(
    ("only-the-bit", frame(BINARY, b"x" * 20, length=1 << 63, form=64)),
    ("all-bits", frame(BINARY, b"x" * 20, length=(1 << 64) - 1, form=64)),
    ("bit-and-small", frame(BINARY, b"x" * 20, length=(1 << 63) + 20, form=64)),
    ("in-text", frame(TEXT, b"x" * 20, length=1 << 63, form=64)),
    ("no-payload-yet", frame(BINARY, b"", length=1 << 63, form=64)),
)
def test_fr_len_msb(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 7, 8, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537])
def test_fr_len_bounds(gw, transport, length):
    with transport.connect(gw) as conn:
        conn.upgrade()
        payload = os.urandom(length)
        sender = conn.send_aside(frame(BINARY, payload, mask=os.urandom(4)))
        assert conn.read_message() == (BINARY, payload)
        sender.join()


@pytest.mark.parametrize("length", [0, 125, 126, 127, 65535, 65536])
def test_fr_len_bounds_alignments(gw, whole, recorder, length):
    """Frames at every offset modulo 8 of the stream, each with a mask of its own."""
    with Session(gw, whole, recorder) as (conn, peer):
        wanted = b""
        for shift in range(8):
            filler, payload = os.urandom(shift), os.urandom(length)
            conn.send(frame(BINARY, filler, mask=os.urandom(4)) + frame(BINARY, payload, mask=os.urandom(4)))
            wanted += filler + payload
        assert peer.read(len(wanted)) == wanted


def test_fr_len_bounds_splits(gw, whole, recorder):
    """Three frames of the three length forms, cut in two at every place of their headers and at some of the payloads."""
    payloads = [os.urandom(n) for n in (5, 130, 65540)]
    stream = b"".join(frame(BINARY, p, mask=os.urandom(4)) for p in payloads)
    headers = set(range(1, 20)) | set(range(140, 170)) | {1000, 65535, 65536, len(stream) - 1}
    with Session(gw, whole, recorder) as (conn, peer):
        for cut in sorted(headers):
            sender = conn.send_aside(stream[:cut])
            sender.join()
            conn.send(stream[cut:])
            assert peer.read(sum(map(len, payloads))) == b"".join(payloads), cut


@pytest.mark.parametrize("length", [1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 5, 1 << 40, (1 << 63) - 1],
                         ids=lambda n: f"{n:#x}")
def test_fr_len_bounds_huge(gw, transport, recorder, length):
    """A frame that will never be complete is legal, and flows as it comes."""
    with Session(gw, transport, recorder) as (conn, peer):
        payload = os.urandom(1000)
        conn.send(frame(BINARY, payload, length=length))
        assert peer.read(1000) == payload
        conn.send(b"\x37" * 3) # the mask goes on: MASK[1000 % 4:]
        assert peer.read(3) == bytes([0x37 ^ 0x37, 0x37 ^ 0xFA, 0x37 ^ 0x21])


# --- fragmentation ----------------------------------------------------------------------------------------------------

@table(
    ("final", frame(CONTINUATION, b"x")),
    ("more", frame(CONTINUATION, b"x", fin=False)),
    ("empty", frame(CONTINUATION, b"")),
    ("after-a-message", frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"") + frame(CONTINUATION, b"x")),
    ("after-a-ping", frame(PING, b"x") + frame(CONTINUATION, b"x")),
)
def test_fr_cont_orphan(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad)


@table(
    ("binary-in-binary", frame(BINARY, b"", fin=False) + frame(BINARY, b"x")),
    ("text-in-binary", frame(BINARY, b"", fin=False) + frame(TEXT, b"x")),
    ("binary-in-text", frame(TEXT, b"", fin=False) + frame(BINARY, b"x")),
    ("more-in-binary", frame(BINARY, b"", fin=False) + frame(BINARY, b"x", fin=False)),
    ("empty-in-binary", frame(BINARY, b"", fin=False) + frame(BINARY, b"")),
    ("after-a-continuation", frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"", fin=False) + frame(BINARY, b"x")),
)
def test_fr_data_in_msg(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad)


def test_fr_fragments(gw, transport):
    """Fragments, empty ones among them, make one message of the first one's type."""
    with transport.connect(gw) as conn:
        conn.upgrade()
        for opcode in (BINARY, TEXT):
            conn.send(frame(opcode, b"", fin=False) + frame(CONTINUATION, b"one ", fin=False)
                      + frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, b"two", fin=False) + frame(CONTINUATION, b""))
            assert conn.read_message() == (opcode, b"one two")


def read_message_and_pongs(conn):
    """The next message and the payloads of the Pongs seen up to its end."""
    pongs, parts = [], []
    while True:
        got = conn.read_frame()
        if got.opcode == PONG:
            pongs.append(got.payload)
            continue
        parts.append(got.payload)
        if got.fin:
            return b"".join(parts), pongs


def test_fr_ctl_interleaved(gw, transport):
    with transport.connect(gw) as conn:
        conn.upgrade()
        conn.send(frame(TEXT, b"a", fin=False) + frame(PING, b"1"))
        first = []
        while not any(f.opcode == PONG for f in first): # served in the middle of the message, not after it
            first.append(conn.read_frame())
        assert [f.payload for f in first if f.opcode == PONG] == [b"1"]
        conn.send(frame(PONG, b"unasked") + frame(CONTINUATION, b"b", fin=False) + frame(PING, b"") + frame(CONTINUATION, b"c"))
        rest, pongs = read_message_and_pongs(conn)
        assert b"".join(f.payload for f in first if f.opcode != PONG) + rest == b"abc"
        if not pongs:
            pongs = [conn.read_frame().payload]
        assert pongs == [b""]


def test_fr_ctl_interleaved_close(gw, transport, recorder):
    """A Close inside a fragmented message ends the session; what came of the message was delivered."""
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"half of", fin=False) + close_frame(1001, "leaving"))
        assert peer.read_to_end() == b"half of"
        peer.close()
        conn.expect_close(1001)


# --- control frames ---------------------------------------------------------------------------------------------------

@table(
    ("ping-more", frame(PING, b"x", fin=False)),
    ("pong-more", frame(PONG, b"x", fin=False)),
    ("close-more", close_frame(1000, fin=False)),
    ("ping-126", frame(PING, b"x" * 126)),
    ("pong-126", frame(PONG, b"x" * 126)),
    ("close-126", frame(CLOSE, close_payload(1000, b"x" * 124))),
    ("ping-65536", frame(PING, b"x" * 65536)),
    ("ping-announced-2^62", frame(PING, b"", length=1 << 62)),
    ("pong-in-message-more", frame(BINARY, b"", fin=False) + frame(PONG, b"", fin=False)),
)
def test_fr_ctl_form(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad)


@table(("1-byte", frame(CLOSE, b"\x03")), ("1-byte-nul", frame(CLOSE, b"\0")))
def test_fr_close_1byte(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad)


@table(
    ("lone-continuation", close_frame(1000, b"\x80")),
    ("latin-1", close_frame(1000, "für".encode("latin-1"))),
    ("cut-short", close_frame(1000, "€".encode()[:2])),
    ("overlong", close_frame(1000, b"\xc0\xaf")),
    ("surrogate", close_frame(1000, b"\xed\xa0\x80")),
    ("above-10ffff", close_frame(1000, b"\xf4\x90\x80\x80")),
    ("fe", close_frame(4000, b"ok\xfe")),
)
def test_fr_close_utf8(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad, code=1007)


BAD_CODES = [0, 1, 2, 500, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1100, 2000, 2999, 5000, 9999, 32768, 65535]
GOOD_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]


@pytest.mark.parametrize("code", BAD_CODES)
def test_fr_close_code_bad(gw, transport, recorder, code):
    check_violation(gw, transport, recorder, close_frame(code, "why"))


@pytest.mark.parametrize("code", GOOD_CODES)
def test_fr_close_code_ok(gw, transport, recorder, code):
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"last words") + close_frame(code, "grüße"))
        assert peer.read_to_end() == b"last words"
        peer.close()
        conn.expect_close(code)
        conn.close()
        end = gw.wait_session_end(conn)
        assert (end["code"], end["reason"]) == (str(code), "client_closed")


@pytest.mark.parametrize("payload", [b"", close_payload(1000), close_payload(1000, b"r" * 123), close_payload(4999, "ü" * 61)],
                         ids=["empty", "code", "longest", "utf-8"])
def test_fr_close_once(gw, transport, recorder, payload):
    """One Close answers however many; an empty one is answered by an empty one."""
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(CLOSE, payload) + frame(CLOSE, payload) + close_frame(1001) + frame(PING, b"x"))
        assert peer.read_to_end() == b""
        peer.close()
        conn.expect_close(int.from_bytes(payload[:2], "big") if payload else None)


def test_fr_close_once_echo(gw, transport):
    with transport.connect(gw) as conn:
        conn.upgrade()
        conn.send(frame(TEXT, "bye") + close_frame())
        assert conn.read_message() == (TEXT, b"bye")
        conn.expect_close(None)


def test_fr_after_close(gw, transport, recorder):
    """Behind the peer's Close nothing counts: no data, no garbage. Behind ours nothing comes, though the backend speaks."""
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"counts") + close_frame(1000) + frame(BINARY, b"does not") + b"\xff" * 100)
        assert peer.read_to_end() == b"counts"
        peer.send(b"too late" * 1000)
        peer.close()
        conn.read_close()
        conn.expect_end()


def test_fr_after_our_close(gw, transport, recorder):
    """We close first, because the backend ended: the client's data still counts until its own Close."""
    with Session(gw, transport, recorder) as (conn, peer):
        peer.send(b"bye")
        peer.end_sending()
        assert conn.expect_close(1000, then_end=False) == b"bye"
        conn.send(frame(BINARY, b"one more thing") + frame(PING, b"?"))
        assert peer.read(14) == b"one more thing"
        conn.send(close_frame(1000) + frame(BINARY, b"does not count"))
        assert peer.read_to_end() == b""
        conn.expect_end()


def test_fr_tcp_close_first(gw, transport, recorder):
    """The server ends TCP, the client need not: FIN comes while we hold our end open, and what we still send is taken."""
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(close_frame(1000))
        assert peer.read_to_end() == b""
        peer.close()
        conn.expect_close(1000)
        for _ in range(20): # taken and dropped; a reset would fail the later sends
            conn.send(b"\0" * 1000)
        assert conn.unsendable is None
        conn.close()
        assert gw.wait_session_end(conn)["reason"] == "client_closed"


@pytest.mark.parametrize("second", [close_frame(1000), frame(PING, b"p"), frame(BINARY, b"data"), frame(TEXT, b"\xff"),
                                    frame(BINARY, b"x" * 5000), b"\xff" * 5000],
                         ids=["close", "ping", "data", "bad-text", "long", "garbage"])
def test_fr_fail_stops(gw, transport, recorder, second):
    """After a failure nothing is processed: one Close with the first code, no Pong, no data."""
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"good") + frame(BINARY, b"bad", rsv=2) + second)
        got = [conn.read_frame()]
        assert got[0].close_code == 1002
        conn.expect_end()
        assert peer.read_to_end() == b"good"


@pytest.mark.parametrize("payload", [b"", b"x", b"ping payload", bytes(range(125))], ids=["0", "1", "some", "125"])
def test_fr_ping(gw, transport, recorder, payload):
    with Session(gw, transport, recorder) as (conn, _):
        conn.send(frame(PING, payload))
        got = conn.read_frame()
        assert (got.opcode, got.payload) == (PONG, payload)


def test_fr_ping_latest(gw, transport, recorder):
    """Of many Pings the last one is owed an answer; the others may get theirs, in order and at most once."""
    with Session(gw, transport, recorder) as (conn, peer):
        pings = [f"ping {i}".encode() for i in range(300)]
        conn.send(b"".join(frame(PING, p) for p in pings))
        answers = []
        while not answers or answers[-1] != pings[-1]:
            got = conn.read_frame()
            assert got.opcode == PONG
            answers.append(got.payload)
        places = [pings.index(a) for a in answers]
        assert places == sorted(set(places))
        conn.send(frame(BINARY, b"on we go"))
        assert peer.read(8) == b"on we go"


def test_fr_pong_unasked(gw, transport, recorder):
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(PONG, b"") + frame(PONG, b"unasked") + frame(BINARY, b"fine") + frame(PONG, b"x" * 125))
        assert peer.read(4) == b"fine"
        conn.send(frame(PING, b"alive"))
        got = conn.read_frame()
        assert (got.opcode, got.payload) == (PONG, b"alive")


# --- text -------------------------------------------------------------------------------------------------------------

VALID_TEXT = ["", "ascii", "grüße", "€", "𝄞", "\x00\x7f", "\ud7ff\ue000", "\ufffe\uffff", "\U0010ffff", "κόσμε" * 1000,
              "a" * 7 + "ü" + "b" * 9]
INVALID_TEXT = {
    "lone-80": b"\x80", "lone-bf": b"\xbf", "fe": b"\xfe", "ff": b"\xff", "c0-af": b"\xc0\xaf", "c1-bf": b"\xc1\xbf",
    "overlong-3": b"\xe0\x80\xaf", "overlong-4": b"\xf0\x80\x80\xaf", "overlong-3-max": b"\xe0\x9f\xbf",
    "overlong-4-max": b"\xf0\x8f\xbf\xbf", "surrogate-d800": b"\xed\xa0\x80", "surrogate-dfff": b"\xed\xbf\xbf",
    "above-10ffff": b"\xf4\x90\x80\x80", "f5": b"\xf5\x80\x80\x80", "five-bytes": b"\xf8\x88\x80\x80\x80",
    "interrupted-2": b"\xc3\x28", "interrupted-3": b"\xe2\x28\xa1", "interrupted-3b": b"\xe2\x82\x28",
    "interrupted-4": b"\xf0\x90\x28\xbc", "latin-1": "straße".encode("latin-1"),
    "late": b"x" * 3000 + b"\xff", "after-multibyte": "€uro".encode() + b"\x80",
}
CUT_SHORT = {"2-of-3": b"\xe2\x82", "1-of-2": b"\xc3", "3-of-4": b"\xf0\x9d\x84", "after-text": b"text\xe2"}


@pytest.mark.parametrize("text", VALID_TEXT, ids=lambda t: f"{len(t)}-{ascii(t[:4])}")
def test_fr_text_valid(gw, transport, text):
    payload = text.encode()
    with transport.connect(gw) as conn:
        conn.upgrade()
        conn.send(frame(TEXT, payload))
        assert conn.read_message() == (TEXT, payload)
        fragments = [payload[i:i + 1] for i in range(len(payload))][:2000] # cut inside characters, too
        rest = payload[len(fragments):]
        conn.send(frame(TEXT, b"", fin=False) + b"".join(frame(CONTINUATION, f, fin=False) for f in fragments)
                  + frame(CONTINUATION, rest))
        assert conn.read_message() == (TEXT, payload)


@pytest.mark.parametrize("name", INVALID_TEXT)
def test_fr_text_utf8(gw, transport, recorder, name):
    bad = INVALID_TEXT[name]
    check_violation(gw, transport, recorder, frame(TEXT, bad), code=1007, reached=bad)


@pytest.mark.parametrize("name", CUT_SHORT)
def test_fr_text_utf8_cut_short(gw, transport, recorder, name):
    """A message that ends inside a character is as bad, in one frame and in fragments."""
    bad = CUT_SHORT[name]
    check_violation(gw, transport, recorder, frame(TEXT, bad), code=1007, reached=bad)
    check_violation(gw, transport, recorder, frame(TEXT, bad, fin=False) + frame(CONTINUATION, b""), code=1007, reached=bad)


@pytest.mark.parametrize("bad", [frame(TEXT, b"ok \xe2\x82", fin=False) + frame(CONTINUATION, b"\x28", fin=False),
                                 frame(TEXT, b"\xed\xa0", length=1 << 40), frame(TEXT, b"ok\xff", fin=False)],
                         ids=["second-fragment", "second-byte-of-a-huge-frame", "first-fragment"])
def test_fr_text_utf8_at_once(gw, transport, recorder, bad):
    """Failed at the first byte that cannot be text, though neither frame nor message has ended."""
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(bad)
        conn.expect_close(1007)
        peer.read_to_end()


def test_fr_text_binary_unchecked(gw, transport):
    with transport.connect(gw) as conn:
        conn.upgrade()
        conn.expect_echo(bytes(range(256)) * 3)


@pytest.mark.parametrize("target, bad", [
    ("/binary", frame(TEXT, b"x")), ("/binary", frame(TEXT, b"")), ("/binary", frame(TEXT, b"x", fin=False)),
    ("/text", frame(BINARY, b"x")), ("/text", frame(BINARY, b"")), ("/text", frame(BINARY, b"x", fin=False)),
])
def test_fr_text_refused(gw, transport, recorder, target, bad):
    check_violation(gw, transport, recorder, bad, code=1003, target=target)


@pytest.mark.parametrize("target, kind", [("/echo-binary", BINARY), ("/echo-text", TEXT)])
def test_fr_text_refused_other_kind_passes(gw, transport, target, kind):
    with transport.connect(gw) as conn:
        conn.upgrade(target)
        conn.expect_echo(b"welcome", kind)
        conn.send(frame(BINARY if kind == TEXT else TEXT, b"not"))
        conn.expect_close(1003)


def test_fr_text_sent(gw, transport, recorder):
    """send = text: messages are text, cut between characters though the backend's writes are not."""
    with Session(gw, transport, recorder, "/send-text") as (conn, peer):
        text = "grüße, €uro, 𝄞 " * 50
        data = text.encode()
        got = b""
        for i in range(0, len(data), 7):
            peer.send(data[i:i + 7])
        while len(got) < len(data):
            opcode, payload = conn.read_message() # checks that it is UTF-8
            assert opcode == TEXT
            got += payload
        assert got == data
        peer.send(b"\xff is no text")
        conn.expect_close(1011, then_end=False)
        conn.send(close_frame(1011))
        conn.expect_end()


# --- limits -----------------------------------------------------------------------------------------------------------

@table(
    ("1001", frame(BINARY, b"x" * 1001)),
    ("announced", frame(BINARY, b"", length=1001)),
    ("announced-2^62", frame(BINARY, b"", length=1 << 62)),
    ("text", frame(TEXT, b"x" * 70000)),
)
def test_fr_limit(gw, transport, recorder, bad):
    check_violation(gw, transport, recorder, bad, code=1009, target="/small")


@pytest.mark.parametrize("fragments", [(999, 2), (500, 500, 1), (1000, 1), (1,) * 1001], ids=lambda f: f"{len(f)}x{f[0]}")
def test_fr_limit_message(gw, transport, recorder, fragments):
    """The limit is on the message, not on its frames: the frame that passes it is refused, those before it have gone."""
    frames = [frame(BINARY if i == 0 else CONTINUATION, b"x" * n, fin=False) for i, n in enumerate(fragments)]
    check_violation(gw, transport, recorder, b"".join(frames), code=1009, reached=b"x" * sum(fragments[:-1]), target="/small")


def test_fr_limit_within(gw, transport):
    with transport.connect(gw) as conn:
        conn.upgrade("/echo-small")
        for _ in range(5):
            conn.expect_echo(b"x" * 1000)
        conn.send(frame(BINARY, b"x" * 600, fin=False) + frame(PING, b"p" * 125) + frame(CONTINUATION, b"x" * 400))
        message, pongs = read_message_and_pongs(conn)
        assert message == b"x" * 1000 and pongs == [b"p" * 125]


def test_fr_empty_rate(gw, whole, recorder):
    """Empty frames count against the frame rate."""
    with Session(gw, whole, recorder, "/rate") as (conn, peer):
        conn.send(frame(BINARY, b"first") + frame(BINARY, b"") * 5000)
        conn.expect_close(1008)
        assert peer.read_to_end() == b"first"
        peer.close()
        conn.close()
        assert gw.wait_session_end(conn)["reason"] == "frame_rate"


@pytest.mark.parametrize("flood", [frame(BINARY, b"x"), frame(PING, b""), frame(PONG, b"x"),
                                   frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"")],
                         ids=["data", "ping", "pong", "fragments"])
def test_fr_empty_rate_others(gw, whole, recorder, flood):
    with Session(gw, whole, recorder, "/rate") as (conn, _):
        conn.send(flood * 5000)
        got, _ = conn.read_close()
        assert got.close_code == 1008


def test_fr_empty_rate_within(gw, whole, recorder):
    with Session(gw, whole, recorder, "/rate") as (conn, peer):
        conn.send(frame(BINARY, b"") * 50 + frame(BINARY, b"x") * 50)
        assert peer.read(50) == b"x" * 50
        conn.send(frame(PING, b"still"))
        assert conn.read_frame().payload == b"still"


def test_fr_empty(gw, transport, recorder):
    """Without a limit any number of empty frames is legal, and none of them is anything to the backend."""
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"") * 1000 + frame(TEXT, b"") * 100 + frame(BINARY, b"x"))
        assert peer.read(1) == b"x"


def test_fr_empty_echo(gw, transport):
    """An empty message is a message."""
    with transport.connect(gw) as conn:
        conn.upgrade()
        conn.send(frame(BINARY, b"") + frame(TEXT, b"") + frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"") + frame(TEXT, b"t"))
        assert [conn.read_message() for _ in range(4)] == [(BINARY, b""), (TEXT, b""), (BINARY, b""), (TEXT, b"t")]


# --- ends -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("last, reached", [
    pytest.param(b"", b"", id="between"),
    pytest.param(frame(BINARY, b"whole"), b"whole", id="after-a-frame"),
    pytest.param(frame(BINARY, b"part", length=100), b"part", id="inside-a-payload"),
    pytest.param(frame(BINARY, b"xy")[:3], b"", id="inside-a-header"),
])
def test_fr_eof_1006(gw, transport, recorder, last, reached):
    """TCP ends without a Close: what came is delivered, then the backend gets its end; 1006 is for the log alone."""
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"before") + last)
        conn.end_sending()
        assert peer.read_to_end() == b"before" + reached
        peer.close()
        try:
            conn.read_close() # whoever has not closed may be sent a Close, which read_frame() checks the code of
        except EndOfStream:
            pass
        conn.close()
        end = gw.wait_session_end(conn)
        assert (end["reason"], end["code"]) == ("client_gone", "1006")


@pytest.mark.parametrize("whole", ["tls"], indirect=True)
def test_fr_eof_1006_truncated(gw, whole, recorder):
    """Under TLS an end without close_notify is a truncation: logged as 1006 too."""
    with Session(gw, whole, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"before"))
        conn.end_sending(notify=False)
        assert peer.read_to_end() == b"before"
        peer.close()
        conn.close()
        assert gw.wait_session_end(conn)["code"] == "1006"


def test_fr_eof_1006_reset(gw, whole, recorder):
    with Session(gw, whole, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"before"))
        assert peer.read(6) == b"before"
        conn.reset()
        try:
            assert peer.read_to_end() == b""
        except ConnectionResetError:
            pass
        peer.close()
        end = gw.wait_session_end(conn)
        assert end["code"] == "1006" and end["reason"] in ("client_reset", "client_gone")


def test_fr_our_codes_backend_eof(gw, transport, recorder):
    with Session(gw, transport, recorder) as (conn, peer):
        peer.send(b"the end")
        peer.close()
        assert conn.expect_close(1000, then_end=False) == b"the end"
        conn.send(close_frame(1000))
        conn.expect_end()
        conn.close()
        end = gw.wait_session_end(conn)
        assert (end["reason"], end["code"], end["bytes_down"]) == ("backend_closed", "1000", "7")


def test_fr_our_codes_backend_reset(gw, transport, recorder):
    with Session(gw, transport, recorder) as (conn, peer):
        peer.reset()
        conn.expect_close(1011, then_end=False)
        conn.send(close_frame(1011))
        conn.expect_end()


@pytest.mark.parametrize("target, reason", [("/idle", "idle"), ("/lifetime", "lifetime")])
def test_fr_our_codes_timers(gw, transport, recorder, target, reason):
    with Session(gw, transport, recorder, target) as (conn, peer):
        conn.expect_close(1001, then_end=False)
        conn.send(close_frame(1001))
        conn.expect_end()
        peer.read_to_end()
        peer.close()
        conn.close()
        assert gw.wait_session_end(conn)["reason"] == reason


def test_fr_our_codes_no_backend(gw, transport):
    with transport.connect(gw) as conn:
        conn.upgrade("/refused", origin=f"{transport.scheme}://gateway.test")
        conn.expect_close(1014, then_end=False)
        conn.send(close_frame(1014))
        conn.expect_end()


@pytest.mark.parametrize("target", ["/hasty", "/refused-hasty"])
def test_fr_our_codes_unanswered(gw, transport, recorder, target):
    """Our Close is not answered: after close_timeout the end comes all the same, and a clean one."""
    with transport.connect(gw) as conn:
        recorder.drop_waiting()
        conn.upgrade(target, origin=f"{transport.scheme}://gateway.test")
        if target == "/hasty":
            recorder.accept().close()
        conn.expect_close(1000 if target == "/hasty" else 1014)


def test_fr_our_codes_drain(start_gateway, transport, certificate, recorder):
    gw = start_gateway(f"""
        [listen plain]
        address = 127.0.0.1:0
        [listen tls]
        address = 127.0.0.1:0
        tls = on
        [tls default]
        certificate = {certificate.cert}
        key = {certificate.key}
        [route raw]
        path = /raw
        target = {recorder.target}
    """)
    with Session(gw, transport, recorder) as (conn, peer):
        conn.send(frame(BINARY, b"before"))
        assert peer.read(6) == b"before"
        peer.send(b"on its way")
        assert conn.read_message() == (BINARY, b"on its way")
        gw.terminate()
        conn.expect_close(1012, then_end=False)
        conn.send(frame(BINARY, b"after") + close_frame(1012))
        assert peer.read_to_end() == b"after"
        conn.expect_end()
        peer.close()
        conn.close()
        gw.stop()
        assert gw.wait_session_end(conn)["reason"] == "drain"
