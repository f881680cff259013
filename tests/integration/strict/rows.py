"""The words of the tables: what a row is, what is sent, and what is expected.

Owns the meaning of a row; it must never touch a socket, so that a table can be read and checked without a gateway.
"""

import dataclasses

from wsclient import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, close_payload, frame

OPEN = 101


# --- handshakes -------------------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Handshake:
    """want: the status, or one for each of "plain" and "tls". fields: what the answer must have (a value) and must not
    have (None). behind: sent after the request at once. {scheme} and {port} in the request become http and 80, or https
    and 443. After a 101, which must lead to `echo:`, a message is echoed and the session closed."""
    name: str
    section: str
    request: bytes
    want: int | dict
    fields: dict = dataclasses.field(default_factory=dict)
    behind: bytes | None = None

    def status(self, tls):
        return self.want["tls" if tls else "plain"] if isinstance(self.want, dict) else self.want

    def bytes(self, tls):
        return self.request.replace(b"{scheme}",
                                    b"https" if tls else b"http").replace(b"{port}", b"443" if tls else b"80")


def shakes(rule, section, *rows):
    """Rows (case, request, want[, fields[, behind]]) of one rule."""
    return [Handshake(f"{rule}-{case}", section, *rest) for case, *rest in rows]


# --- messages: what happens -------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Step:
    """who: "client" or "backend"; what: a word of runner.py."""
    who: str
    what: str
    value: object = None


def says(data):
    return Step("client", "sends", data)


def answers(data):
    """The backend sends."""
    return Step("backend", "sends", data)


def reached(count):
    """So many bytes in all have come to the backend."""
    return Step("backend", "waits", count)


def heard(count):
    """So many bytes of payload in all have come to the client."""
    return Step("client", "waits", count)


TOLD = Step("client", "is told")      # the gateway's Close has come
BACKEND_ENDS = Step("backend", "ends")
BACKEND_RESETS = Step("backend", "resets")
CLIENT_ENDS = Step("client", "ends")  # FIN, under TLS after close_notify
CLIENT_CUTS = Step("client", "cuts")  # FIN, under TLS a truncation
CLIENT_RESETS = Step("client", "resets")


# --- messages: what the client gets -----------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Got:
    """Neighbouring data frames count as one, whatever way the payload was cut: on `echo:` those of one message, on a
    route to a backend all. code: of a Close whose reason is the gateway's own."""
    opcode: int
    payload: bytes = b""
    fin: bool = True
    code: int | None = None


def binary(payload, fin=True):
    return Got(BINARY, payload, fin)


def text(payload, fin=True):
    return Got(TEXT, payload, fin)


def rest(payload, fin=True):
    """The rest of a message that something came between."""
    return Got(CONTINUATION, payload, fin)


def pong(payload):
    return Got(PONG, payload)


def closed(code):
    """The gateway's own Close."""
    return Got(CLOSE, code=code)


def closed_as(payload):
    """The client's Close, answered by the same payload."""
    return Got(CLOSE, payload)


# --- messages: rows ---------------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Message:
    """up: what the backend gets in all, and then the gateway's FIN; None on `echo:`. more: of bad text the beginning
    may pass, so up may have a beginning of this behind it. down: what the client gets in all, and then the gateway's
    FIN, for which it waits in silence (end=None: it has gone away itself). code: in the log. early: the first step is
    sent along with the request."""
    name: str
    section: str
    target: str
    steps: tuple
    up: bytes | None
    down: tuple
    code: int
    more: bytes = b""
    early: bool = False
    end: str | None = "fin"


def messages(rule, section, *rows):
    """Rows of one rule, each made by one of the functions below."""
    return [dataclasses.replace(row, name=f"{rule}-{row.name}", section=section) for row in rows]


def good(case, frames, up, *down, target="/raw", **options):
    """The client sends frames and Close 1000; the backend gets up, the client down and its Close."""
    return Message(case, "", target, (says(frames + close_frame(1000)),), up, (*down, closed_as(close_payload(1000))),
                   1000,
                   **options)


def echoed(case, frames, *down, target="/echo", **options):
    """The same against `echo:`."""
    return good(case, frames, None, *down, target=target, **options)


def bad(case, frames, code=1002, passed=b"", more=b"", target="/raw", behind=None):
    """A good message, the bad frames, and good ones behind: the backend gets the first alone, and what of the bad ones
    was good (passed); the client gets one Close and nothing else."""
    kind = TEXT if "text" in target else BINARY
    if behind is None:
        behind = frame(kind, b"after") + frame(PING, b"after") + close_frame(1000)
    return Message(case, "", target, (says(frame(kind, b"before") + frames + behind),), b"before" + passed,
                   (closed(code),), code,
                   more=more)


def bad_echo(case, frames, code=1002, *down, target="/echo", behind=None):
    """The same against `echo:`; down is what comes back of what was good."""
    row = bad(case, frames, code, target=target, behind=behind)
    first = Got(TEXT if "text" in target else BINARY, b"before")
    return dataclasses.replace(row, up=None, down=(first, *down, *row.down))


def played(case, *steps, up=b"", down=(), code=1000, target="/raw", **options):
    """Any course of events."""
    return Message(case, "", target, steps, up, tuple(down), code, **options)
