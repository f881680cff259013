"""Both ends of many sessions in one event loop: clients, plain or TLS, that send in any pieces, and the backends.

Owns sockets and bytes; it must never repair or hide what the gateway did: a reset is not an end, nor is a missing
close_notify.
"""

import asyncio
import random
import socket
import ssl
import zlib

from wsclient import BYTEWISE_MAX, PIECE


def whole(data):
    yield data


def bytewise(data):
    """Byte by byte, and what is far behind in pieces of a size that divides nothing."""
    for i in range(min(len(data), BYTEWISE_MAX)):
        yield data[i:i + 1]
    for i in range(BYTEWISE_MAX, len(data), PIECE):
        yield data[i:i + PIECE]


def random_cuts(salt):
    """A splitter that cuts anywhere, into mostly small pieces or a few large ones; the same data always in the same
    way."""
    def split(data):
        rng = random.Random(f"{salt} {zlib.crc32(data)}")
        largest = rng.choice((3, 20, 200, 5000))
        while data:
            n = rng.randint(1, largest)
            yield data[:n]
            data = data[n:]
    return split


class End(asyncio.Protocol):
    """One end of a connection: all that came, and how the peer ended it: None so far, "fin", "truncated" (TLS without
    close_notify) or "reset"."""

    polite = False # ends when the peer has ended

    def __init__(self):
        self.received = bytearray()
        self.end = None
        self.transport = self.name = None
        self.news = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        self.name = transport.get_extra_info("sockname")

    def data_received(self, data):
        self.received += data
        self.news.set()

    def eof_received(self):
        self._ended("fin")
        if self.polite:
            self.transport.close()
        return True

    def connection_lost(self, error):
        self._ended("reset" if error is not None else "closed here")

    def _ended(self, how):
        self.end = self.end or how
        self.news.set()

    async def until(self, condition=lambda: False):
        """Waits until the condition holds, or the peer has ended."""
        while self.end is None and not condition():
            self.news.clear()
            await self.news.wait()

    def write(self, data):
        self.transport.write(data)

    async def send(self, data, split=whole):
        """In the pieces that split makes of it: a segment each, under TLS a record each; others have their turn
        between."""
        for piece in split(data):
            if self.transport.is_closing():
                return
            self.write(piece)
            await asyncio.sleep(0)

    def end_sending(self):
        if not self.transport.is_closing():
            self.transport.write_eof()

    def reset(self):
        """Drops the connection; the peer gets RST."""
        sock = self.transport.get_extra_info("socket")
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.transport.abort()

    def close(self):
        self.transport.abort()


class Backend(End):
    """The gateway's connection to a slot, which is told when it is there."""

    polite = True

    def __init__(self, slot):
        super().__init__()
        self.slot = slot

    def connection_made(self, transport):
        super().connection_made(transport)
        self.slot.peer = self
        self.slot.came.set()


class TlsEnd(End):
    """The same with TLS, whose records are made here so that each piece is one."""

    def __init__(self, context, server_name="gateway.test"):
        super().__init__()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name)
        self.ready = self.notified = False

    def connection_made(self, transport):
        super().connection_made(transport)
        self._pump()

    def data_received(self, data):
        if self.notified:
            self._ended("bytes behind close_notify")
        self.incoming.write(data)
        self._pump()

    def eof_received(self):
        self._ended("fin" if self.notified else "truncated")
        return True

    def _pump(self):
        try:
            if not self.ready:
                self.ssl.do_handshake()
                self.ready = True
            while data := self.ssl.read(1 << 18):
                self.received += data
            self.notified = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.notified = True
        except ssl.SSLError as error:
            self._ended(f"TLS failed: {error}")
        self._flush()
        self.news.set()

    def _flush(self):
        if self.outgoing.pending:
            self.transport.write(self.outgoing.read())

    def write(self, data):
        self.ssl.write(data)
        self._flush()

    def notify(self):
        """close_notify, without waiting for the peer's."""
        try:
            self.ssl.unwrap()
        except ssl.SSLError:
            pass
        self._flush()


async def connect(address, source, context=None):
    """A client's end, from that address of the loopback network: by it the log can be searched, and no limit or penalty
    for one source falls on another."""
    loop = asyncio.get_running_loop()
    _, end = await loop.create_connection(End if context is None else lambda: TlsEnd(context), *address,
                                          local_addr=(source, 0))
    if context is not None:
        await end.until(lambda: end.ready)
    return end


class Slot:
    """A backend's listening socket, lent to one session at a time."""

    async def open(self):
        self.peer = None
        self.came = asyncio.Event()
        self.server = await asyncio.get_running_loop().create_server(lambda: Backend(self), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def accepted(self):
        await self.came.wait()
        return self.peer

    def clear(self):
        if self.peer is not None:
            self.peer.close()
        self.peer = None
        self.came.clear()

    def close(self):
        self.clear()
        self.server.close()
