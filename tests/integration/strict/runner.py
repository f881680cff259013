"""Plays rows against a running gateway, many at once, and brings back all that was seen of each.

Owns the order of events; it must never judge: what is right is the row's, and `verdict.py` compares.
"""

import asyncio
import dataclasses
import zlib

from sections import listeners, section
from strict import wire
from strict.rows import OPEN, Handshake, Message
from wsclient import BINARY, TIMEOUT, close_frame, frame, request

AT_ONCE = 40
PATIENCE = 4 * TIMEOUT # of a row: only a failure takes so long
PIPELINED = request("/echo", extra=["X-Pipelined: yes"])
FAREWELL = frame(BINARY, b"still here") + close_frame(1000)


@dataclasses.dataclass(frozen=True)
class Way:
    name: str
    tls: bool
    split: object = wire.whole


WAYS = [Way("plain", False), Way("plain-bytewise", False, wire.bytewise),
        Way("tls", True), Way("tls-bytewise", True, wire.bytewise)]


@dataclasses.dataclass
class Seen:
    peer: str = ""           # as the gateway's log writes the client
    client: bytes = b""
    end: str | None = None
    backend: bytes | None = None
    backend_end: str | None = None
    stuck: str | None = None # what was waited for in vain


ROUTES = {"raw": "", "binary": "accept = binary", "text": "accept = text", "send-text": "send = text",
          "small": "max_message = 1000",
          "text-small": "accept = text\nmax_message = 1000"}
ECHO_ROUTES = {"echo": "path = /echo", "tree": "path = /tree/*", "protocols": "subprotocol = binary, chat.v2",
               "protocol-needed": "subprotocol = binary\nrequire_subprotocol = yes", "open-to-all": "origin = *",
               "friends": "origin = https://app.example.com, http://dev.example.com:8080, null",
               "named": "host = vnc.example.com", "echo-binary": "accept = binary", "echo-text": "accept = text",
               "echo-small": "max_message = 1000"}


def furnish(directory):
    """What the gateway's configuration names."""
    (directory / "tokens").write_text("")
    (directory / "files").mkdir()
    (directory / "files" / "page.txt").write_text("a page\n")


def configuration(certificate, directory):
    """Of a gateway for all rows. Its timers are set far away, so that only right behaviour can end a session. Targets
    come from a token file, which a Table writes."""
    patient = "close_timeout = 300s\nstall_timeout = 300s\nping_interval = 0\n"
    parts = [section("server", workers=2, drain_timeout="5s", log_level="debug"),
             listeners(certificate, handshake_timeout="300s", linger_timeout="300s"),
             section("route files", path="/files/*", root=directory / "files")]
    for name, more in ROUTES.items():
        parts.append(f"[route {name}]\npath = /{name}\ntoken_file = {directory}/tokens\n{patient}{more}\n")
    for name, more in ECHO_ROUTES.items():
        path = "" if "path =" in more else f"path = /{name}\n"
        parts.append(f"[route {name}]\n{path}target = echo:\n{patient}{more}\n")
    return "".join(parts)


class Table:
    """Plays rows. addresses: of the listeners "plain" and "tls"; directory: where the gateway looks for tokens."""

    def __init__(self, addresses, context, directory):
        self.addresses, self.context, self.directory = addresses, context, directory

    def play(self, rows, way, sources):
        """Returns what was seen of each row, in their order. sources: as many loopback addresses, each never used
        before."""
        return asyncio.run(self._play(rows, way, sources))

    async def _play(self, rows, way, sources):
        slots = asyncio.Queue()
        opened = [await wire.Slot().open() for _ in range(min(AT_ONCE, len(rows)))]
        with open(f"{self.directory}/tokens", "w", encoding="ascii") as file:
            file.writelines(f"{slot.port}: 127.0.0.1:{slot.port}\n" for slot in opened)
        for slot in opened:
            slots.put_nowait(slot)
        try:
            return await asyncio.gather(*(self._play_one(row, way, source, slots)
                                          for row, source in zip(rows, sources)))
        finally:
            for slot in opened:
                slot.close()

    async def _play_one(self, row, way, source, slots):
        slot = await slots.get()
        slot.clear()
        run = Run(way, source, slot)
        try:
            await asyncio.wait_for(run.all(row, self.addresses["tls" if way.tls else "plain"], self.context), PATIENCE)
        except asyncio.TimeoutError:
            pass # it says itself what it waited for
        except Exception as error: # of this row alone
            run.waits_for = f"{run.waits_for}, for {error!r},"
        seen = run.seen()
        run.close()
        slots.put_nowait(slot)
        return seen


class Run:
    """One row under way."""

    def __init__(self, way, source, slot):
        self.way, self.source, self.slot = way, source, slot
        self.client = self.backend = None
        self.waits_for = "the connection"

    async def all(self, row, address, context):
        self.client = await wire.connect(address, self.source, context if self.way.tls else None)
        play = {Handshake: self._shake, Message: self._converse}.get(type(row), self._pour)
        await play(row)
        self.waits_for = "the end of the client's connection"
        await self.client.until()
        if self.backend is not None:
            self.waits_for = "the end of the backend's connection"
            await self.backend.until()
        self.waits_for = None

    async def _answered(self):
        self.waits_for = "the answer"
        await self.client.until(lambda: b"\r\n\r\n" in self.client.received)
        return self.client.received.startswith(b"HTTP/1.1 101 ")

    async def _shake(self, row):
        refused = row.status(self.way.tls) != OPEN
        behind = row.behind if row.behind is not None else PIPELINED if refused else b""
        await self.client.send(row.bytes(self.way.tls) + behind, self.way.split)
        if await self._answered() and not refused:
            await self.client.send(FAREWELL, self.way.split)

    async def _converse(self, row):
        steps = list(row.steps)
        head = request(row.target if row.up is None else f"{row.target}?token={self.slot.port}")
        if row.early:
            await self.client.send(head + steps.pop(0).value, self.way.split)
        else:
            await self.client.send(head)
        if not await self._answered():
            return
        if row.up is not None:
            self.waits_for = "the backend's connection"
            self.backend = await self.slot.accepted()
        for step in steps:
            self.waits_for = f"step {step}"
            await getattr(self, f"_{step.who}_{step.what.replace(' ', '_')}")(step.value)

    async def _pour(self, stream):
        """A whole session (streams.py) without a look at what comes back, and the client's end."""
        await self.client.send(stream.bytes(self.slot.port), self.way.split)
        await self._client_ends(None)
        if await self._answered() and stream.backend:
            self.backend = await self.slot.accepted()

    async def _client_sends(self, data):
        await self.client.send(data, self.way.split)

    async def _client_waits(self, count):
        await self.client.until(lambda: frames(self.client.received)[0] >= count)

    async def _client_is_told(self, _):
        await self.client.until(lambda: frames(self.client.received)[1])

    async def _client_ends(self, _):
        if self.way.tls:
            self.client.notify()
        self.client.end_sending()

    async def _client_cuts(self, _):
        self.client.end_sending()

    async def _client_resets(self, _):
        self.client.reset()

    async def _backend_sends(self, data):
        await self.backend.send(data)

    async def _backend_waits(self, count):
        await self.backend.until(lambda: len(self.backend.received) >= count)

    async def _backend_ends(self, _):
        self.backend.end_sending()

    async def _backend_resets(self, _):
        self.backend.reset()

    def seen(self):
        seen = Seen(stuck=self.waits_for)
        if self.client is not None:
            seen.peer = "{}:{}".format(*self.client.name)
            seen.client, seen.end = bytes(self.client.received), self.client.end
        if self.backend is not None:
            seen.backend, seen.backend_end = bytes(self.backend.received), self.backend.end
        return seen

    def close(self):
        if self.client is not None:
            self.client.close()
        self.slot.clear()


def frames(received):
    """(payload bytes of complete data frames behind the head, whether a Close is among them), without any judgement."""
    at, count = received.index(b"\r\n\r\n") + 4, 0
    while at + 2 <= len(received):
        extra = {126: 2, 127: 8}.get(received[at + 1] & 127, 0)
        length = int.from_bytes(received[at + 2:at + 2 + extra], "big") if extra else received[at + 1] & 127
        if at + 2 + extra + length > len(received):
            break
        if received[at] & 15 == 8:
            return count, True
        if received[at] & 15 < 8:
            count += length
        at += 2 + extra + length
    return count, False


def source_addresses(salt):
    """Loopback addresses, none twice: 2^16 of them for each salt."""
    second = 16 + zlib.crc32(salt.encode()) % 200
    return (f"127.{second}.{i >> 8}.{i & 255}" for i in range(1, 1 << 16))
