"""What Python's websockets client sees of the gateway that clients.conf configures: python_client.py URL.
Exits with 0 when all is well; it must never report success without having checked."""

import asyncio
import os
import ssl
import sys

import websockets

TIMEOUT = 20


def options(base):
    if not base.startswith("wss:"):
        return {}
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


async def check_messages(connect):
    async with connect("/echo", max_size=None) as ws:
        for message in ("Grüße 😀", "", b"", b"\x00\xff", os.urandom(65536), "x" * 70000, os.urandom(8 << 20)):
            await ws.send(message)
            assert await ws.recv() == message, f"a {type(message).__name__} of {len(message)} came back changed"
    assert ws.close_code == 1000, ws.close_code


async def check_fragments(connect):
    async with connect("/echo") as ws:
        await ws.send(["eins ", "zwei ", "drei"])
        assert await ws.recv() == "eins zwei drei"
        await ws.send([b"1", b"", b"2", b"3" * 100000])
        assert await ws.recv() == b"12" + b"3" * 100000


async def check_ping(connect):
    async with connect("/bytes") as ws:
        await (await ws.ping(b"payload"))
        pongs = [await ws.ping(str(n)) for n in range(20)]
        await pongs[-1]  # an answer to the last one acknowledges all before it


async def check_stream(connect):
    sent, received = os.urandom(4 << 20), bytearray()
    async with connect("/bytes", max_size=None) as ws:
        async def send():
            for at in range(0, len(sent), 30000):
                await ws.send(sent[at:at + 30000])
        sender = asyncio.ensure_future(send())
        while len(received) < len(sent):
            received += await ws.recv()
        await sender
    assert bytes(received) == sent


async def check_close(connect):
    for code, reason in ((1000, "done"), (3001, ""), (4000, "grün")):
        async with connect("/bytes") as ws:
            await ws.close(code, reason)
            assert (ws.close_code, ws.close_reason) == (code, reason), (ws.close_code, ws.close_reason)


async def check_refusals(connect):
    foreign = {"origin": "http://evil.example"}
    for path, extra, status in (("/nothing", {}, 404), ("/nobody", {}, 502), ("/echo", foreign, 403)):
        try:
            async with connect(path, **extra):
                raise AssertionError(f"{path} was not refused")
        except websockets.exceptions.InvalidStatusCode as refusal:
            assert refusal.status_code == status, refusal.status_code


async def check_offers(connect):
    async with connect("/echo", subprotocols=["binary"], compression="deflate") as ws:
        assert ws.subprotocol == "binary"
        assert ws.extensions == []


async def main(base):
    def connect(path, **extra):
        return websockets.connect(base + path, open_timeout=TIMEOUT, close_timeout=TIMEOUT, **options(base), **extra)

    for check in (check_messages, check_fragments, check_ping, check_stream, check_close, check_refusals, check_offers):
        try:
            await asyncio.wait_for(check(connect), TIMEOUT)
        except BaseException as error:
            print(f"{check.__name__}: {type(error).__name__}: {error}", file=sys.stderr)
            raise


asyncio.run(main(sys.argv[1]))
