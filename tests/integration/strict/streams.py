"""Whole client sides of sessions, request and frames, good and bad, made from a seed; and what two runs of one must
agree on.

Owns the making and the comparing of streams; it must never know what is right, only what is the same.
"""

import dataclasses
import random
import re

from strict.handshakes import HANDSHAKES
from strict.messages import MESSAGES
from strict.runner import ECHO_ROUTES, ROUTES
from strict.verdict import Recorded, read_all, short
from wsclient import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, EndOfStream, close_frame, frame, request

ECHOES = [name for name in ECHO_ROUTES if name.startswith("echo-")]
TARGETS = [f"/{name}" for name in [*ROUTES, *ECHOES]] + ["/echo"] * 4
SNIPPETS = [step.value for row in MESSAGES for step in row.steps
            if (step.who, step.what) == ("client", "sends") and len(step.value) < 3000]
DATE = re.compile(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n")
CHARACTERS = ["a", "Z", "ä", "€", "𝄞", "\ud7ff", "\U0010ffff"]


@dataclasses.dataclass(frozen=True)
class Stream:
    """{token} in the head is the slot's; backend: whether the route, once upgraded, leads to one."""
    name: str
    head: bytes
    frames: bytes
    backend: bool

    def bytes(self, token):
        return self.head.replace(b"{token}", str(token).encode()) + self.frames


def one_in(rng, n):
    return rng.randrange(n) == 0


def make_head(rng, tls):
    """(request, whether it would lead to a backend)"""
    if one_in(rng, 12):
        return rng.choice(HANDSHAKES).bytes(tls), False
    target = rng.choice(TARGETS)
    backend = target[1:] in ROUTES
    extra = [f"X-{i}: {'v' * rng.randrange(40)}" for i in range(rng.randrange(6))]
    head = request(f"{target}?token={{token}}" if backend else target, extra=extra)
    if one_in(rng, 15): # a byte that is not in the target, or no end
        at = rng.randrange(head.index(b"\r\n"), len(head))
        head = head[:at] + bytes([rng.randrange(256)]) + head[at + 1:] if one_in(rng, 2) else head[:at]
    return head, backend


def make_payload(rng, opcode):
    size = rng.choice((0, 1, 3, 10, 60, 125, 126, 300, 1001)) if one_in(rng, 3) else rng.randrange(30)
    if opcode == TEXT:
        payload = "".join(rng.choice(CHARACTERS) for _ in range(size)).encode()
    else:
        payload = rng.randbytes(size)
    if payload and one_in(rng, 25):
        at = rng.randrange(len(payload))
        payload = payload[:at] + bytes([rng.randrange(256)]) + payload[at + 1:]
    return payload


def damaged(rng, data):
    """A bit of the header turned round."""
    at, bit = rng.randrange(2), 1 << rng.randrange(8)
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1:]


def make_message(rng):
    opcode = rng.choice((TEXT, BINARY))
    payload, parts = make_payload(rng, opcode), []
    while True:
        last = one_in(rng, 2)
        n = len(payload) if last else rng.randrange(len(payload) + 1)
        part = frame(opcode if not parts else CONTINUATION, payload[:n], fin=last, mask=rng.randbytes(4))
        parts.append(damaged(rng, part) if one_in(rng, 60) else part)
        if last:
            return b"".join(parts)
        payload = payload[n:]
        if one_in(rng, 4):
            parts.append(frame(rng.choice((PING, PONG)), rng.randbytes(rng.randrange(20)), mask=rng.randbytes(4)))


def make_frames(rng):
    frames = b"".join(make_message(rng) for _ in range(rng.randrange(12)))
    if one_in(rng, 3):
        frames += rng.choice(SNIPPETS)
    elif one_in(rng, 2):
        frames += close_frame(rng.choice((1000, 1001, 3000, 4999, 1005, 999)), "bye") + make_message(rng)
    return frames[:rng.randrange(len(frames) + 1)] if one_in(rng, 6) else frames


def make(seed, tls):
    rng = random.Random(seed)
    head, backend = make_head(rng, tls)
    return Stream(f"stream {seed}", head, make_frames(rng), backend)


# --- comparing --------------------------------------------------------------------------------------------------------

def observed(stream, seen):
    """(head of the answer without its date, frames or body, end, bytes at the backend, end of its connection)"""
    recorded = Recorded(seen.client)
    try:
        head = recorded.read_until(b"\r\n\r\n")
    except EndOfStream:
        return seen.client, [], seen.end, seen.backend, seen.backend_end
    head = DATE.sub(b"\r\n", head, count=1)
    upgraded = head.startswith(b"HTTP/1.1 101 ")
    rest = read_all(recorded, stream.backend) if upgraded else [bytes(recorded.buffer)]
    return head, rest, seen.end, seen.backend, seen.backend_end


def is_bad_text(items):
    return bool(items) and getattr(items[-1], "opcode",
                                   None) == CLOSE and items[-1].payload[:2] == (1007).to_bytes(2, "big")


def delivered(what):
    """All payload that was let through, to the backend or back."""
    return (what[3] or b"") + b"".join(item.payload for item in what[1] if item.opcode < CLOSE)


def same(a, b):
    """Equal; but of text that turns out not to be UTF-8 more or less of its beginning may have been delivered."""
    if not (is_bad_text(a[1]) and is_bad_text(b[1])):
        return a == b
    controls = [[item for item in what[1] if item.opcode >= CLOSE] for what in (a, b)]
    longer, shorter = sorted((delivered(a), delivered(b)), key=len, reverse=True)
    return (a[0], a[2], a[4]) == (b[0], b[2], b[4]) and controls[0] == controls[1] and longer.startswith(shorter)


def kind_of(what):
    """The end of a stream in a word, to see that all kinds came."""
    if not what[0].startswith(b"HTTP/1.1 101 "):
        return what[0][9:12].decode() or "nothing"
    last = what[1][-1] if what[1] else None
    if last is None or last.opcode != CLOSE:
        return "open to the end"
    return str(int.from_bytes(last.payload[:2], "big")) if last.payload else "empty Close"


def disagreement(stream, whole, cut):
    """A sentence, or None."""
    for seen, how in ((whole, "whole"), (cut, "cut")):
        if seen.stuck is not None:
            return f"{stream.name}, {how}: {seen.stuck} never came"
    a, b = observed(stream, whole), observed(stream, cut)
    return None if same(a, b) else f"{stream.name}: whole {short(a)}\n    cut {short(b)}"
