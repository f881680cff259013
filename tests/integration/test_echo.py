"""The built-in `echo:` target, also seen by a client that is not ours (python3-websockets).

A message comes back with its own type and borders, streamed as fragments and never reassembled.
"""

import asyncio
import hashlib
import os
import random

import pytest
import websockets

from sections import listeners
from wsclient import BINARY, CONTINUATION, TEXT, close_frame, frame


@pytest.fixture(scope="module")
def shared(share_gateway, certificate):
    return share_gateway(f"""
{listeners(certificate)}
[route echo]
path = /echo
target = echo:
subprotocol = binary, chat
""")


def test_echo_keeps_type_and_borders(gw, transport):
    messages = [(random.choice((TEXT, BINARY)), b"m" * random.randrange(200)) for _ in range(100)]
    with transport.connect(gw) as conn:
        conn.upgrade()
        conn.send(b"".join(frame(opcode, payload, mask=os.urandom(4)) for opcode, payload in messages))
        assert [conn.read_message() for _ in messages] == messages


def test_echo_streams(gw, transport):
    """What has come of a message comes back before the message is complete, in fragments."""
    with transport.connect(gw) as conn:
        conn.upgrade()
        conn.send(frame(BINARY, b"first part", length=1000))
        got = conn.read_stream(10)
        assert got == b"first part"
        conn.send(b"\0" * 990) # masked zeros: the mask itself, which goes on where it was
        rest = conn.read_stream(990)
        assert rest == (b"\x37\xfa\x21\x3d" * 250)[2:992]
        conn.expect_echo()


def test_echo_first_fragment_alone_names_the_type(gw, transport):
    with transport.connect(gw) as conn:
        conn.upgrade()
        conn.send(frame(TEXT, "a", fin=False))
        first = conn.read_frame()
        assert (first.opcode, first.fin, first.payload) == (TEXT, False, b"a")
        conn.send(frame(CONTINUATION, "b"))
        last = [conn.read_frame()]
        while not last[-1].fin:
            last.append(conn.read_frame())
        assert {f.opcode for f in last} == {CONTINUATION} and b"".join(f.payload for f in last) == b"b"


def test_echo_text_stays_text(gw, transport):
    with transport.connect(gw) as conn:
        conn.upgrade()
        conn.expect_echo("naïve café, 日本語, 🎉".encode(), TEXT)
        conn.expect_echo(b"\xff\xfe\x00", BINARY)
        conn.expect_echo("x".encode(), TEXT)


@pytest.mark.slow
@pytest.mark.parametrize("fragment", [16 << 20, 65536, 4099], ids=["one-frame", "64-KiB-fragments", "odd-fragments"])
def test_echo_16_mib(gw, whole, fragment):
    payload = os.urandom(16 << 20)
    with whole.connect(gw) as conn:
        conn.upgrade()
        pieces = [payload[i:i + fragment] for i in range(0, len(payload), fragment)]
        frames = b"".join(frame(BINARY if i == 0 else CONTINUATION, piece, fin=i == len(pieces) - 1, mask=os.urandom(4))
                          for i, piece in enumerate(pieces))
        sender = conn.send_aside(frames)
        opcode, got = conn.read_message()
        sender.join()
        assert opcode == BINARY and hashlib.sha256(got).digest() == hashlib.sha256(payload).digest()
        conn.send(close_frame(1000))
        conn.expect_close(1000)
        conn.close()
        end = gw.wait_session_end(conn)
        assert (end["bytes_up"], end["bytes_down"]) == (str(len(payload)), str(len(payload)))


@pytest.mark.slow
def test_echo_unread(gw, whole):
    """A client that sends and does not read is held by backpressure, and loses nothing once it reads."""
    payload = os.urandom(1 << 20) * 48 # more than all the kernel's buffers of the way
    with whole.connect(gw, rcvbuf=65536) as conn:
        conn.upgrade()
        sender = conn.send_aside(b"".join(frame(BINARY, payload[i:i + 65536]) for i in range(0, len(payload), 65536)))
        sender.join(1) # all that the buffers of the way hold is on its way by now; the rest waits
        assert sender.is_alive(), "48 MiB went into a gateway whose client reads nothing"
        got = b"".join(conn.read_message()[1] for _ in range(0, len(payload), 65536))
        sender.join()
        assert got == payload


def test_echo_quick_form(start_gateway, whole, certificate):
    """The quick form of the command line: every path leads to the target."""
    tls = ["--cert", certificate.cert, "--key", certificate.key, "--tls", "on"] if whole.tls else []
    gw = start_gateway.quick(*tls, "127.0.0.1:0", "echo:")
    with whole.connect(gw, 0) as conn:
        conn.upgrade("/any/path?at=all")
        conn.expect_echo(b"quick")


# --- an independent client ----------------------------------------------------------------------------------------------

def run_client(gw, transport, talk, **options):
    """Opens a session with python3-websockets and lets talk(session) use it."""
    host, port = gw.address("tls" if transport.tls else "plain")
    if transport.tls:
        options.update(ssl=transport.certificate.client_context(), server_hostname="gateway.test")

    async def main():
        scheme = "wss" if transport.tls else "ws"
        async with websockets.connect(f"{scheme}://gateway.test:{port}/echo", host=host, port=port, open_timeout=60,
                                      **options) as session:
            return await asyncio.wait_for(talk(session), 120)

    return asyncio.run(main())


def test_echo_websockets(gw, whole):
    async def talk(session):
        for message in ("text", b"binary", "", b"", "ünï" * 1000, os.urandom(100_000)):
            await session.send(message)
            got = await session.recv()
            assert type(got) is type(message) and got == message
        await (await session.ping(b"payload"))
        await session.close(3001, "enough")
        return session.close_code

    assert run_client(gw, whole, talk, compression=None) == 3001


def test_echo_websockets_fragments(gw, whole):
    async def talk(session):
        await session.send(["one ", "two ", "three"])
        assert await session.recv() == "one two three"
        await session.send([b"one ", b"two"])
        assert await session.recv() == b"one two"

    run_client(gw, whole, talk, compression=None)


def test_echo_websockets_offers(gw, whole):
    """Offers compression, which is declined, and subprotocols, of which one is taken."""
    async def talk(session):
        assert session.extensions == [] and session.subprotocol == "chat"
        await session.send("compressed? no")
        assert await session.recv() == "compressed? no"

    run_client(gw, whole, talk, subprotocols=["superchat", "chat"])


@pytest.mark.slow
def test_echo_websockets_16_mib(gw, whole):
    async def talk(session):
        message = os.urandom(16 << 20)
        receiving = asyncio.ensure_future(session.recv())
        await session.send(message)
        assert await receiving == message

    run_client(gw, whole, talk, compression=None, max_size=None)


@pytest.mark.slow
def test_echo_websockets_many(gw, whole):
    """A hundred sessions at once, each gets its own back."""
    host, port = gw.address("tls" if whole.tls else "plain")
    options = {"ssl": whole.certificate.client_context(), "server_hostname": "gateway.test"} if whole.tls else {}
    scheme = "wss" if whole.tls else "ws"

    async def one(number):
        async with websockets.connect(f"{scheme}://gateway.test:{port}/echo", host=host, port=port, open_timeout=60,
                                      compression=None, **options) as session:
            for i in range(20):
                message = f"session {number} message {i} ".encode() * (number + 1)
                await session.send(message)
                assert await session.recv() == message

    async def main():
        await asyncio.gather(*(one(n) for n in range(100)))

    asyncio.run(main())
