"""Many well-behaved WebSocket clients in one asyncio loop, for scripts that count who was disconnected.

Owns its sessions; it must never reconnect by itself: an end is an end, and is counted.
"""

import asyncio
import contextlib
import socket
import time

import script  # noqa: F401 - finds wsclient
from wsclient import request, xor

MASK = b"\x37\xfa\x21\x3d"
BINARY, CLOSE, PING, PONG = 0x82, 0x88, 0x89, 0x8A


def masked(first, payload=b""):
    """A frame of up to 64 KiB as a client sends it."""
    n = len(payload)
    length = bytes([0x80 | n]) if n < 126 else b"\xfe" + n.to_bytes(2, "big")
    return bytes([first]) + length + MASK + xor(payload, MASK)


class Client:
    """One session. pong_after: s that it takes to answer a ping; space: the netns.Namespace that it is in."""

    def __init__(self, address, path="/echo", tls=None, pong_after=0, space=None):
        self.address, self.path, self.tls, self.pong_after, self.space = address, path, tls, pong_after, space
        self.pings = 0
        self.ended = None       # why, once it is over
        self.handshake = None   # s from connect to 101
        self.asked = None

    async def connect(self):
        with self.space.entered() if self.space else contextlib.nullcontext():
            sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = time.monotonic()
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        self.reader, self.writer = await asyncio.open_connection(sock=sock, ssl=self.tls,
                                                                 server_hostname="gateway.test" if self.tls else None)

    async def open(self):
        await self.connect()
        self.writer.write(request(self.path))
        await self.opened()
        return self

    async def opened(self):
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.handshake = time.monotonic() - self.asked
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.split(b"\r\n")[0].decode())

    def send(self, payload):
        if self.ended is None:
            self.writer.write(masked(BINARY, payload))

    async def read_frame(self):
        first, length = await self.reader.readexactly(2)
        if length > 125:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
        return first, await self.reader.readexactly(length)

    async def frames(self):
        """Payloads of data frames until the session is over; pings are answered."""
        try:
            while True:
                first, payload = await self.read_frame()
                if first == PING:
                    self.pings += 1
                    asyncio.get_running_loop().call_later(self.pong_after, self.pong, payload)
                elif first == CLOSE:
                    self.ended = self.ended or f"Close {int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}"
                    return
                else:
                    yield payload
        except (asyncio.IncompleteReadError, OSError) as error:
            self.ended = self.ended or type(error).__name__

    def pong(self, payload):
        if self.ended is None:
            self.writer.write(masked(PONG, payload))

    def close(self):
        self.ended = self.ended or "ours"
        self.writer.close()
