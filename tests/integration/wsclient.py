"""A client that can break every rule: raw sockets with just enough HTTP, WebSocket and TLS to say exactly these bytes.

Owns bytes on the wire and nothing else; it must never repair, retry or hide what the gateway did: a reset is not an
end, a missing close_notify is not a clean end, and every frame that comes is checked for what no server may send.
"""

import base64
import hashlib
import os
import re
import socket
import ssl
import threading

# How long to wait for something that must come. Only hangs ever take that long; nothing asserts on it.
TIMEOUT = float(os.environ.get("SALLYPORT_TEST_TIMEOUT", "15"))

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x37\xfa\x21\x3d"

# Byte by byte up to here; what comes behind goes in pieces of a size that divides nothing.
BYTEWISE_MAX = 2048
PIECE = 61
SEND_MAX = 1 << 20 # a timeout is for one call


class EndOfStream(Exception):
    """The peer ended its direction in the middle of what was being read; .args[0] has what came."""


class Truncated(Exception):
    """TCP ended without TLS's close_notify."""


# --- HTTP -------------------------------------------------------------------------------------------------------------

def request(target="/echo", method="GET", version="HTTP/1.1", host="gateway.test", upgrade="websocket",
            connection="Upgrade", key=KEY, ws_version="13", origin=None, protocol=None, extra=(), end=b"\r\n"):
    """The bytes of an upgrade request. A field is left out by None and repeated by a list; extra are whole lines."""
    lines = [f"{method} {target} {version}"]
    for name, value in (("Host", host), ("Upgrade", upgrade), ("Connection", connection), ("Sec-WebSocket-Key", key),
                        ("Sec-WebSocket-Version", ws_version), ("Origin", origin), ("Sec-WebSocket-Protocol", protocol)):
        if value is not None:
            lines += [f"{name}: {v}" for v in ([value] if isinstance(value, str) else value)]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n"
    for line in extra:
        head += (line.encode("latin-1") if isinstance(line, str) else line) + b"\r\n"
    return head + end


def get(target="/", method="GET", version="HTTP/1.1", host="gateway.test", extra=()):
    """The bytes of a request for a file."""
    return request(target, method, version, host, upgrade=None, connection=None, key=None, ws_version=None, extra=extra)


def accept_of(key):
    """What Sec-WebSocket-Accept must be (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


class Response:
    def __init__(self, head):
        status_line, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 ([1-5]\d\d) ([!-~][ -~]*)", status_line)
        assert match, f"not a status line: {status_line!r}"
        self.head = head
        self.status, self.reason = int(match[1]), match[2]
        self.fields = []
        for line in lines:
            field = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\x00-\x08\x0a-\x1f\x7f]*)", line)
            assert field, f"not a field: {line!r}"
            self.fields.append((field[1].lower(), field[2].strip()))
        self.body = b""

    def all(self, name):
        return [v for n, v in self.fields if n == name.lower()]

    def __getitem__(self, name):
        """The value of a field that may stand once; None when it does not stand."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def __repr__(self):
        return f"<Response {self.status} {self.reason} {self.fields} {self.body[:200]!r}>"


# --- frames -----------------------------------------------------------------------------------------------------------

def xor(data, mask):
    if not data:
        return b""
    stream = (mask * (len(data) // 4 + 1))[:len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def frame(opcode, payload=b"", fin=True, rsv=0, mask=MASK, form=None, length=None):
    """One frame as a client sends it. mask=None leaves it unmasked; form is 7, 16 or 64 bits of length (default: the
    shortest that fits); length announces something else than what follows."""
    if isinstance(payload, str):
        payload = payload.encode()
    n = len(payload) if length is None else length
    if form is None:
        form = 7 if n < 126 else 16 if n < 65536 else 64
    bit = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    head += {7: lambda: bytes([bit | n]), 16: lambda: bytes([bit | 126]) + n.to_bytes(2, "big"),
             64: lambda: bytes([bit | 127]) + n.to_bytes(8, "big")}[form]()
    return head + (mask + xor(payload, mask) if mask is not None else payload)


def close_payload(code=None, reason=b""):
    if isinstance(reason, str):
        reason = reason.encode()
    return b"" if code is None else code.to_bytes(2, "big") + reason


def close_frame(code=None, reason=b"", **options):
    return frame(CLOSE, close_payload(code, reason), **options)


class Frame:
    def __init__(self, first, payload):
        self.fin, self.opcode, self.payload = bool(first & 0x80), first & 0x0F, payload

    @property
    def close_code(self):
        """Of a Close: the code, None when it is empty."""
        assert self.opcode == CLOSE
        return int.from_bytes(self.payload[:2], "big") if self.payload else None

    @property
    def close_reason(self):
        assert self.opcode == CLOSE
        return self.payload[2:].decode()

    def __eq__(self, other):
        return (self.fin, self.opcode, self.payload) == (other.fin, other.opcode, other.payload)

    def __repr__(self):
        name = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}.get(self.opcode)
        return f"<{name or self.opcode}{'' if self.fin else ' (more)'} {len(self.payload)} B {self.payload[:80]!r}>"


# --- the connection ---------------------------------------------------------------------------------------------------

class Connection:
    """A client's end. address is (host, port) or the path of a UNIX socket; tls an ssl.SSLContext. bytewise sends (the
    TLS handshake too) one byte a segment, and under TLS one byte a record. source is the host it comes from."""

    def __init__(self, address, tls=None, server_name="gateway.test", bytewise=False, rcvbuf=None, source=None):
        self.bytewise = bytewise
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        if rcvbuf is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source is not None:
            self.sock.bind((source, 0))
        self.sock.connect(address)
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.name = self.sock.getsockname() # for the log: our address is the gateway's peer
        self.buffer = bytearray()
        self.ended = False                  # the peer's direction has ended, cleanly
        self.unsendable = None              # the error of a send: a refusal may come before all was sent
        self.ssl = None
        self.sending = threading.Lock()     # keeps TLS records in the order they were made; may be held for long
        self.using = threading.Lock()       # for the TLS engine, which two threads may not use at once; never for long
        if tls is not None:
            self._handshake(tls, server_name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def end_sending(self, notify=True):
        """Sends FIN, under TLS after close_notify (or without it: a truncation)."""
        if self.ssl is not None and notify:
            with self.sending:
                with self.using:
                    try:
                        self.ssl.unwrap()
                    except ssl.SSLError: # above all: the peer's close_notify has not come, which we do not wait for
                        pass
                self._send_raw(self.outgoing.read())
        self.sock.shutdown(socket.SHUT_WR)

    @property
    def peer_text(self):
        """How the gateway's log writes this client."""
        return f"{self.name[0]}:{self.name[1]}" if isinstance(self.name, tuple) else None

    # sending

    def send(self, data):
        if self.unsendable is not None:
            return
        try:
            for piece in self._pieces(data):
                self._send_piece(piece)
        except (BrokenPipeError, ConnectionResetError) as error:
            self.unsendable = error

    def send_aside(self, data):
        """Sends from another thread, for data that no buffer holds; returns the thread to join."""
        def run():
            try:
                self.send(data)
            except OSError as error:
                self.unsendable = error
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _pieces(self, data):
        if not self.bytewise:
            for i in range(0, len(data), SEND_MAX):
                yield data[i:i + SEND_MAX]
            return
        for i in range(min(len(data), BYTEWISE_MAX)):
            yield data[i:i + 1]
        for i in range(BYTEWISE_MAX, len(data), PIECE):
            yield data[i:i + PIECE]

    def _send_piece(self, piece):
        if self.ssl is None:
            self.sock.sendall(piece)
            return
        view = memoryview(piece)
        while len(view):
            with self.sending:
                with self.using:
                    view = view[self.ssl.write(view):]
                    data = self.outgoing.read()
                self._send_raw(data)

    def _send_raw(self, data):
        if self.bytewise and not self.ssl_ready:
            for i in range(len(data)):
                self.sock.sendall(data[i:i + 1])
        else:
            self.sock.sendall(data)

    # receiving

    def _handshake(self, context, server_name, session=None):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name, session=session)
        self.ssl_ready = False
        while not self.ssl_ready:
            try:
                self.ssl.do_handshake()
                self._send_raw(self.outgoing.read())
                self.ssl_ready = True
            except ssl.SSLWantReadError:
                self._send_raw(self.outgoing.read())
                self._feed()

    def _feed(self):
        data = self.sock.recv(1 << 18)
        with self.using:
            self.incoming.write(data) if data else self.incoming.write_eof()

    def _answer(self):
        """Sends what the TLS engine itself has to say, unless somebody is sending, who then takes it along."""
        if self.outgoing.pending and self.sending.acquire(blocking=False):
            try:
                self._send_raw(self.outgoing.read())
            finally:
                self.sending.release()

    def recv(self):
        """What comes next, b"" once the peer has ended cleanly."""
        if self.ssl is None:
            data = self.sock.recv(1 << 18)
        else:
            data = self._recv_tls()
        if not data:
            self.ended = True
        return data

    def _recv_tls(self):
        while True:
            try:
                with self.using:
                    return self.ssl.read(1 << 18)
            except ssl.SSLWantReadError:
                self._answer()
                self._feed()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError:
                raise Truncated from None

    def read(self, n):
        """Exactly n bytes."""
        while len(self.buffer) < n:
            data = self.recv()
            if not data:
                raise EndOfStream(bytes(self.buffer))
            self.buffer += data
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def read_until(self, mark):
        while mark not in self.buffer:
            data = self.recv()
            if not data:
                raise EndOfStream(bytes(self.buffer))
            self.buffer += data
        return self.read(self.buffer.index(mark) + len(mark))

    def read_to_end(self):
        """All that comes until the peer ends cleanly: a FIN, under TLS close_notify and then the FIN."""
        while not self.ended:
            self.buffer += self.recv()
        if self.ssl is not None:
            rest = self.sock.recv(1)
            assert rest == b"", "bytes after close_notify"
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def expect_end(self):
        """The peer ends now, and has nothing more to say."""
        rest = self.read_to_end()
        assert rest == b"", f"unexpected bytes before the end: {rest[:200]!r}"

    # HTTP

    def read_response(self, method="GET"):
        response = Response(self.read_until(b"\r\n\r\n")[:-4])
        if response.status == 101 or response.status in (204, 304) or method == "HEAD":
            return response
        if response["Content-Length"] is not None:
            response.body = self.read(int(response["Content-Length"]))
        else:
            assert "close" in (response["Connection"] or "").lower(), "neither a length nor an end"
            response.body = self.read_to_end()
        return response

    def upgrade(self, target="/echo", **fields):
        """A handshake that must succeed."""
        self.send(request(target, **fields))
        return self.read_101(fields.get("key", KEY))

    def read_101(self, key=KEY):
        response = self.read_response()
        assert response.status == 101, response
        assert response["Upgrade"].lower() == "websocket"
        assert response["Connection"].lower() == "upgrade"
        assert response["Sec-WebSocket-Accept"] == accept_of(key)
        assert response["Content-Length"] is None and response["Transfer-Encoding"] is None
        return response

    # WebSocket

    def read_frame(self):
        """The next frame; checks what holds for every frame a server without extensions sends."""
        first, second = self.read(2)
        assert not first & 0x70, f"RSV bits {first:#x}"
        assert not second & 0x80, "a frame of the server is masked"
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(self.read(2), "big")
            assert length > 125, "length not in its shortest form"
        elif length == 127:
            length = int.from_bytes(self.read(8), "big")
            assert length > 65535, "length not in its shortest form"
        got = Frame(first, self.read(length))
        assert got.opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), got
        if got.opcode >= CLOSE:
            assert got.fin and length <= 125, got
        if got.opcode == CLOSE:
            code = got.close_code
            assert length != 1 and (code is None or 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999), got
            got.payload[2:].decode()
        return got

    def read_message(self):
        """The next message, reassembled: (opcode, payload). Control frames other than Ping are an error here."""
        opcode, parts = None, []
        while True:
            got = self.read_frame()
            if got.opcode == PING:
                continue
            assert got.opcode < CLOSE, got
            assert (got.opcode == CONTINUATION) == (opcode is not None), f"fragment out of order: {got}"
            if opcode is None:
                opcode = got.opcode
            parts.append(got.payload)
            if got.fin:
                payload = b"".join(parts)
                if opcode == TEXT:
                    payload.decode()
                return opcode, payload

    def read_stream(self, n):
        """n payload bytes, whatever frames they come in."""
        got = bytearray()
        while len(got) < n:
            part = self.read_frame()
            if part.opcode == PING:
                continue
            assert part.opcode < CLOSE, part
            got += part.payload
        assert len(got) == n, f"{len(got)} bytes for {n}"
        return bytes(got)

    def read_close(self):
        """Reads up to the Close and returns (Close, payload of the data frames before it). Pings and Pongs pass."""
        data = bytearray()
        while True:
            got = self.read_frame()
            if got.opcode == CLOSE:
                return got, bytes(data)
            if got.opcode < CLOSE:
                data += got.payload

    def expect_close(self, code, then_end=True):
        """A Close with this code comes, and behind it the end of TCP although we stay silent. Returns the data before it."""
        got, data = self.read_close()
        assert got.close_code == code, f"Close {got.close_code} {got.payload[2:]!r} instead of {code}"
        if then_end:
            self.expect_end()
        return data

    def expect_echo(self, payload=b"still here", opcode=BINARY):
        """The session is open: a message comes back."""
        self.send(frame(opcode, payload))
        assert self.read_message() == (opcode, payload)
