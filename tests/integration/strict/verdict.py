"""Compares what was seen with what the row says. It must never ask the gateway, nor know how a row was played but for
TLS."""

from strict.rows import OPEN, Got, Handshake
from wsclient import BINARY, CLOSE, CONTINUATION, KEY, Connection, EndOfStream, accept_of, close_payload

FAREWELL = [Got(BINARY, b"still here"), Got(CLOSE, close_payload(1000))]


class Recorded(Connection):
    """A connection of which all has come already, for the checks that every answer and every frame must pass."""

    def __init__(self, received):
        self.buffer = bytearray(received)
        self.ended = True

    def recv(self):
        return b""


def read_all(recorded, merge):
    """The frames to the end, neighbouring data frames made one: of one message, or (merge) all that are whole
    messages."""
    items = []
    while recorded.buffer:
        one = recorded.read_frame()
        last = items[-1] if items else None
        if last is None or max(one.opcode, last.opcode) >= CLOSE:
            items.append(Got(one.opcode, one.payload, one.fin))
        elif one.opcode == CONTINUATION and not last.fin:
            items[-1] = Got(last.opcode, last.payload + one.payload, one.fin)
        elif merge and last.fin and one.fin and one.opcode == last.opcode:
            items[-1] = Got(last.opcode, last.payload + one.payload)
        else:
            items.append(Got(one.opcode, one.payload, one.fin))
    return items


def short(value):
    words = repr(value)
    return words if len(words) < 400 else f"{words[:200]} ... {words[-160:]}"


def same_frame(got, wanted):
    if wanted.code is None:
        return got == wanted
    return got.opcode == CLOSE and got.payload[:2] == wanted.code.to_bytes(2, "big") and len(got.payload) > 2


def same_frames(got, wanted):
    return len(got) == len(wanted) and all(map(same_frame, got, wanted))


# What answers of a status must have, whatever the row is about.
ALWAYS = {200: {}, 400: {}, 403: {}, 404: {}, 413: {}, 414: {}, 431: {}, 505: {}, 405: {"Allow": "GET, HEAD"},
          426: {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"},
          OPEN: {"Sec-WebSocket-Accept": accept_of(KEY), "Sec-WebSocket-Protocol": None,
                 "Sec-WebSocket-Extensions": None,
                 "Upgrade": "websocket", "Connection": "Upgrade", "Content-Length": None, "Transfer-Encoding": None}}


def judge_fields(response, wanted):
    for name, value in wanted.items():
        if response[name] != value:
            yield f"{name}: {response[name]!r} instead of {value!r}"


def judge_handshake(row, tls, seen):
    recorded, want = Recorded(seen.client), row.status(tls)
    response = recorded.read_response(row.request.split(b" ")[0].decode("latin-1"))
    if response.status != want:
        yield f"{response} instead of {want}"
        return
    yield from judge_fields(response, {**ALWAYS[want], **row.fields})
    if want != OPEN:
        if response["Connection"] != ("close, Upgrade" if want == 426 else "close"):
            yield f"no Connection: close in {response}"
        if recorded.buffer:
            yield f"behind the refusal came {short(bytes(recorded.buffer))}"
    elif not same_frames(items := read_all(recorded, False), FAREWELL):
        yield f"the client got {short(items)} instead of {FAREWELL}"


def judge_message(row, seen):
    recorded = Recorded(seen.client)
    recorded.read_101()
    items = read_all(recorded, row.up is not None)
    if not same_frames(items, row.down):
        yield f"the client got {short(items)} instead of {short(row.down)}"
    if row.up is None:
        return
    if not (seen.backend.startswith(row.up) and (row.up + row.more).startswith(seen.backend)):
        yield f"the backend got {short(seen.backend)} instead of {short(row.up)}"
    if seen.backend_end not in ("fin", "closed here"):
        yield f"the backend's connection ended by {seen.backend_end}"


def judge_log(row, tls, seen, record):
    """record: the session's last line, None when it never came."""
    if record is None:
        yield "the log has no end of this session"
        return
    code = row.code if not isinstance(row, Handshake) else 1000 if row.status(tls) == OPEN else row.status(tls)
    if record.get("code") != str(code):
        yield f"the log says {record}, not code={code}"
    if seen.backend is not None and record.get("bytes_up") != str(len(seen.backend)):
        yield f"the log says {record}, but the backend got {len(seen.backend)} bytes"


def judge(row, tls, seen, record):
    """All that is wrong, as sentences."""
    wrong = []
    if seen.stuck is not None:
        wrong.append(f"{seen.stuck} never came")
    end = row.end if not isinstance(row, Handshake) else "fin"
    if end is not None and seen.end != end:
        wrong.append(f"the client's connection ended by {seen.end}, not {end}")
    try:
        wrong += judge_handshake(row, tls, seen) if isinstance(row, Handshake) else judge_message(row, seen)
    except (AssertionError, EndOfStream, ValueError, AttributeError) as error:
        wrong.append(f"{type(error).__name__}: {short(error)}; the client got {short(seen.client)}")
    return wrong + list(judge_log(row, tls, seen, record))
