"""What happens after the upgrade, RFC 6455 sections 5 to 8, one rule after the other in the words of `rows.py`.

On `/raw` and its like the backend sees what was delivered, on `/echo` the client sees types and borders. Whoever is not
said to end anything stays silent, and the gateway's timers are far away: each end is the gateway's own.
"""

from strict.rows import (BACKEND_ENDS, BACKEND_RESETS, CLIENT_CUTS, CLIENT_ENDS, CLIENT_RESETS, TOLD, answers, bad,
                         bad_echo, binary, closed, closed_as, echoed, good, heard, messages, played, pong, reached,
                         rest,
                         says, text)
from wsclient import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, close_payload, frame

SEVEN = bytes(range(7))


def some(n):
    """n bytes that do not repeat soon."""
    return bytes((i * 7 + i // 251 + 1) & 255 for i in range(n))


def more(opcode, payload=b"", **options):
    """A frame that is not its message's last."""
    return frame(opcode, payload, fin=False, **options)


def pieces(opcode, *payloads):
    """A message in these fragments."""
    opcodes = [opcode] + [CONTINUATION] * (len(payloads) - 1)
    return b"".join(frame(o, p, fin=i == len(payloads) - 1) for i, (o, p) in enumerate(zip(opcodes, payloads)))


def singly(opcode, payload):
    """A message with a fragment for each byte."""
    return pieces(opcode, *(payload[i:i + 1] for i in range(len(payload))))


# --- the header -------------------------------------------------------------------------------------------------------

UNMASKED = messages("fr_unmasked", "RFC 6455 5.1",
    bad("binary", frame(BINARY, b"naked", mask=None)),
    bad("text", frame(TEXT, b"naked", mask=None)),
    bad("empty", frame(BINARY, b"", mask=None)),
    bad("empty-text", frame(TEXT, b"", mask=None)),
    bad("16-bits", frame(BINARY, b"n" * 300, mask=None)),
    bad("64-bits", frame(BINARY, b"n" * 70000, mask=None)),
    bad("ping", frame(PING, b"naked", mask=None)),
    bad("pong", frame(PONG, b"", mask=None)),
    bad("close", close_frame(1000, mask=None)),
    bad("empty-close", close_frame(mask=None)),
    bad("first-fragment", more(BINARY, b"naked", mask=None)),
    bad("continuation", more(BINARY) + frame(CONTINUATION, b"naked", mask=None)),
    bad("only-the-header", frame(BINARY, b"x", mask=None)[:2], behind=b""),
    bad_echo("on-echo", frame(BINARY, b"naked", mask=None)),
)

MASKS = messages("fr_mask", "RFC 6455 5.3",
    *(echoed(f"key-{key.hex()}", frame(BINARY, some(300), mask=key), binary(some(300)))
      for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\0\0\1", b"\1\2\3\4")),
    good("key-of-its-own-each",
         b"".join(frame(BINARY, some(n), mask=bytes([n, 2 * n, 255 - n, n ^ 85])) for n in range(1, 40)),
         b"".join(some(n) for n in range(1, 40))),
    echoed("begins-anew-in-each-fragment", pieces(BINARY, b"a", b"bc", b"def", b"ghij", b"klmno"),
           binary(b"abcdefghijklmno")),
    echoed("begins-anew-after-a-ping", more(BINARY, b"a") + frame(PING, b"12345") + frame(CONTINUATION, b"bcd"),
           binary(b"a", fin=False), pong(b"12345"), rest(b"bcd")),
)

RSV = messages("fr_rsv", "RFC 6455 5.2",
    *(bad(f"{rsv:03b}-on-{name}", frame(opcode, b"x", rsv=rsv)) for rsv in (1, 2, 4)
      for name, opcode in (("binary", BINARY), ("text", TEXT), ("ping", PING), ("pong", PONG))),
    bad("all-three", frame(BINARY, b"x", rsv=7)),
    *(bad(f"{rsv:03b}-on-close", close_frame(1000, rsv=rsv)) for rsv in (1, 2, 4)),
    bad("on-first-fragment", more(TEXT, b"x", rsv=4)),
    bad("on-continuation", more(BINARY) + frame(CONTINUATION, b"x", rsv=4)),
    bad("on-empty", frame(BINARY, b"", rsv=4)),
    bad("on-long", frame(BINARY, some(1000), rsv=4)),
    bad("only-the-header", frame(BINARY, b"x", rsv=4)[:2], behind=b""),
)

UNDEFINED = (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)
OPCODES = messages("fr_opcode", "RFC 6455 5.2",
    *(bad(f"{opcode:x}", frame(opcode, b"x")) for opcode in UNDEFINED),
    *(bad(f"{opcode:x}-empty", frame(opcode)) for opcode in UNDEFINED),
    *(bad(f"{opcode:x}-fragment", more(opcode, b"x")) for opcode in UNDEFINED),
    *(bad(f"{opcode:x}-in-a-message", more(BINARY, b"half") + frame(opcode, b"x"),
          passed=b"half") for opcode in (3, 7, 0xB, 0xF)),
    bad_echo("on-echo", frame(3, b"x")),
)

# --- lengths ----------------------------------------------------------------------------------------------------------

LENGTHS = messages("fr_len_bounds", "RFC 6455 5.2",
    *(echoed(f"{n}", frame(BINARY, some(n)), binary(some(n)))
      for n in (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 64, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537)),
    *(echoed(f"text-{n}", frame(TEXT, b"t" * n), text(b"t" * n)) for n in (125, 126, 65535, 65536)),
    *(good(f"{n}-in-a-row", frame(BINARY, some(n)) * 3, some(n) * 3) for n in (125, 126, 127, 65535, 65536)),
    *(good(f"{n}-in-fragments", pieces(BINARY, some(n), some(n), some(n)), some(n) * 3) for n in (125, 126, 65535,
                                                                                                  65536)),
    *(played(f"{name}-announced", says(frame(BINARY, some(20), length=n)), reached(20), CLIENT_ENDS, up=some(20),
             code=1006)
      for name, n in (("2^31-1", (1 << 31) - 1), ("2^31", 1 << 31), ("2^32-1", (1 << 32) - 1), ("2^32", 1 << 32),
                      ("2^32+20", (1 << 32) + 20), ("2^40", 1 << 40), ("2^62", 1 << 62), ("2^63-1", (1 << 63) - 1))),
    played("2^32-announced-twice", says(more(BINARY, b"a") + frame(CONTINUATION, some(20), length=1 << 32)),
           reached(21), CLIENT_ENDS, up=b"a" + some(20), code=1006),
    played("2^63-1-announced-in-text", says(frame(TEXT, b"fine", length=(1 << 63) - 1)), reached(4), CLIENT_ENDS,
           up=b"fine", code=1006),
)

MINIMAL = messages("fr_len_minimal", "RFC 6455 5.2",
    *(bad(f"16-bits-for-{n}", frame(BINARY, some(n), form=16)) for n in (0, 1, 124, 125)),
    *(bad(f"64-bits-for-{n}", frame(BINARY, some(n), form=64)) for n in (0, 1, 125, 126, 127, 65534, 65535)),
    bad("16-bits-in-text", frame(TEXT, b"x", form=16)),
    bad("64-bits-in-text", frame(TEXT, b"x", form=64)),
    bad("16-bits-in-continuation", more(BINARY) + frame(CONTINUATION, b"x", form=16)),
    bad("64-bits-in-first-fragment", more(BINARY, b"x", form=64)),
    bad("16-bits-in-ping", frame(PING, b"x", form=16)),
    bad("64-bits-in-pong", frame(PONG, b"", form=64)),
    bad("16-bits-in-close", close_frame(1000, form=16)),
)

TOP_BIT = messages("fr_len_msb", "RFC 6455 5.2",
    bad("only-the-bit", frame(BINARY, SEVEN, length=1 << 63, form=64)),
    bad("all-bits", frame(BINARY, SEVEN, length=(1 << 64) - 1, form=64)),
    bad("bit-and-small", frame(BINARY, SEVEN, length=(1 << 63) + 7, form=64)),
    bad("bit-and-70000", frame(BINARY, SEVEN, length=(1 << 63) + 70000, form=64)),
    bad("in-text", frame(TEXT, SEVEN, length=1 << 63, form=64)),
    bad("in-continuation", more(BINARY) + frame(CONTINUATION, SEVEN, length=1 << 63, form=64)),
    bad("in-ping", frame(PING, SEVEN, length=1 << 63, form=64)),
    bad("no-payload-yet", frame(BINARY, b"", length=1 << 63, form=64), behind=b""),
)

# --- fragmentation ----------------------------------------------------------------------------------------------------

ORPHANS = messages("fr_cont_orphan", "RFC 6455 5.4",
    bad("final", frame(CONTINUATION, b"x")),
    bad("more", more(CONTINUATION, b"x")),
    bad("empty", frame(CONTINUATION)),
    bad("empty-more", more(CONTINUATION)),
    bad("after-a-whole-message", frame(TEXT, b"t") + frame(CONTINUATION, b"x"), passed=b"t"),
    bad("after-fragments", pieces(BINARY, b"a", b"b") + frame(CONTINUATION, b"x"), passed=b"ab"),
    bad("after-empty-fragments", pieces(BINARY, b"", b"") + frame(CONTINUATION, b"x")),
    bad("after-a-ping", frame(PONG, b"x") + frame(CONTINUATION, b"x")),
    bad_echo("on-echo", frame(CONTINUATION, b"x")),
)

NESTED = messages("fr_data_in_msg", "RFC 6455 5.4",
    *(bad(f"{inner}-in-{outer}", more(a, b"half") + frame(b, b"x"), passed=b"half")
      for outer, a in (("binary", BINARY), ("text", TEXT)) for inner, b in (("binary", BINARY), ("text", TEXT))),
    bad("fragment", more(BINARY) + more(BINARY, b"x")),
    bad("empty", more(BINARY) + frame(BINARY)),
    bad("after-a-continuation", more(BINARY, b"a") + more(CONTINUATION, b"b") + frame(BINARY, b"x"), passed=b"ab"),
    bad("after-a-ping", more(BINARY, b"a") + frame(PONG) + frame(TEXT, b"x"), passed=b"a"),
    bad("after-an-empty-continuation", more(TEXT) + more(CONTINUATION) + frame(TEXT, b"x")),
    bad_echo("on-echo", more(TEXT) + frame(TEXT, b"x")),
)

FRAGMENTS = messages("fr_fragments", "RFC 6455 5.4",
    *(echoed(f"{name}-{case}", pieces(opcode, *payloads), kind(b"".join(payloads)))
      for name, opcode, kind in (("binary", BINARY, binary), ("text", TEXT, text))
      for case, payloads in (("two", (b"one ", b"two")), ("empty-first", (b"", b"x")), ("empty-last", (b"x", b"")),
                             ("all-empty", (b"", b"", b"")),
                             ("empty-ones-between", (b"", b"one", b"", b"", b"two", b"")),
                             ("of-all-forms", (b"a" * 5, b"b" * 200, b"c" * 66000, b"d")))),
    echoed("three-messages", pieces(TEXT, b"a", b"b") + pieces(BINARY, b"c", b"d") + frame(TEXT, b"e"), text(b"ab"),
           binary(b"cd"), text(b"e")),
    echoed("a-fragment-for-each-byte", singly(BINARY, some(300)), binary(some(300))),
    good("a-fragment-for-each-byte-to-a-backend", singly(BINARY, some(300)), some(300)),
    played("never-ended", says(more(BINARY, b"half")), reached(4), CLIENT_ENDS, up=b"half", code=1006),
    good("closed-in-the-middle", more(BINARY, b"half of"), b"half of"),
    good("closed-in-the-middle-of-a-character", more(TEXT, "€".encode()[:2]), "€".encode()[:2]),
    good("closed-before-the-first-byte", more(TEXT), b""),
)

INTERLEAVED = messages("fr_ctl_interleaved", "RFC 6455 5.4, 5.5",
    echoed("ping-in-text", more(TEXT, b"a") + frame(PING, b"1") + frame(CONTINUATION, b"b"), text(b"a", fin=False),
           pong(b"1"), rest(b"b")),
    echoed("ping-in-binary", more(BINARY, b"a") + frame(PING) + frame(CONTINUATION, b"b"), binary(b"a", fin=False),
           pong(b""), rest(b"b")),
    echoed("two-pings",
           more(TEXT, b"a") + frame(PING, b"1") + more(CONTINUATION, b"b") + frame(PING, b"2")
           + frame(CONTINUATION, b"c"),
           text(b"a", fin=False), pong(b"1"), rest(b"b", fin=False), pong(b"2"), rest(b"c")),
    echoed("pong", more(TEXT, b"a") + frame(PONG, b"unasked") + frame(CONTINUATION, b"b"), text(b"ab")),
    echoed("inside-a-character",
           more(TEXT, "€".encode()[:1]) + frame(PING, b"\xff") + frame(CONTINUATION, "€".encode()[1:]),
           text("€".encode()[:1], fin=False), pong(b"\xff"), rest("€".encode()[1:])),
    echoed("behind-the-last-fragment", pieces(TEXT, b"a", b"b") + frame(PING, b"1") + frame(TEXT, b"c"), text(b"ab"),
           pong(b"1"), text(b"c")),
    good("to-a-backend",
         more(BINARY, b"a") + frame(PING, b"1") + more(CONTINUATION, b"b") + frame(PONG) + frame(CONTINUATION, b"c"),
         b"abc", pong(b"1")),
    played("close-in-a-message", says(more(BINARY, b"half of") + close_frame(1001, "leaving")), up=b"half of",
           down=[closed_as(close_payload(1001, "leaving"))], code=1001),
    bad("fragment-of-a-ping-in-a-message", more(BINARY, b"a") + more(PING, b"p"), passed=b"a"),
)

# --- control frames ---------------------------------------------------------------------------------------------------

CONTROL_FORM = messages("fr_ctl_form", "RFC 6455 5.5",
    bad("ping-fragment", more(PING, b"x")),
    bad("pong-fragment", more(PONG, b"x")),
    bad("close-fragment", close_frame(1000, fin=False)),
    bad("empty-ping-fragment", more(PING)),
    bad("empty-close-fragment", more(CLOSE)),
    *(bad(f"{name}-{n}", frame(opcode, some(n))) for name,
      opcode in (("ping", PING), ("pong", PONG)) for n in (126, 127, 65535, 65536)),
    bad("close-126", frame(CLOSE, close_payload(1000, b"x" * 124))),
    bad("close-65536", frame(CLOSE, close_payload(1000, b"x" * 65534))),
    bad("ping-2^62-announced", frame(PING, b"", length=1 << 62)),
    bad("ping-126-only-the-header", frame(PING, some(126))[:2], behind=b""),
    bad("pong-fragment-in-a-message", more(BINARY) + more(PONG)),
)

PINGS = messages("fr_ping", "RFC 6455 5.5.2, 5.5.3",
    *(good(f"{n}", frame(PING, some(n)), b"", pong(some(n))) for n in (0, 1, 2, 4, 5, 16, 63, 124, 125)),
    good("any-bytes", frame(PING, b"\0\xff\xfe\x80\xc0"), b"", pong(b"\0\xff\xfe\x80\xc0")),
    good("between-messages", frame(BINARY, b"a") + frame(PING, b"1") + frame(BINARY, b"b"), b"ab", pong(b"1")),
    good("two", frame(PING, b"1") + frame(PING, b"2"), b"", pong(b"1"), pong(b"2")),
    good("on-a-text-route", frame(PING, b"\xff"), b"", pong(b"\xff"), target="/text"),
    echoed("on-echo", frame(TEXT, b"a") + frame(PING, b"1") + frame(TEXT, b"b"), text(b"a"), pong(b"1"), text(b"b")),
    good("does-not-count-for-max_message", frame(PING, some(125)) * 9 + frame(BINARY, some(1000)), some(1000),
         *[pong(some(125))] * 9, target="/small"),
)

PONGS = messages("fr_pong_unasked", "RFC 6455 5.5.3",
    *(good(f"{n}", frame(PONG, some(n)) + frame(BINARY, b"fine"), b"fine") for n in (0, 1, 124, 125)),
    good("many", frame(PONG, b"x") * 50 + frame(BINARY, b"fine") + frame(PONG), b"fine"),
    good("any-bytes", frame(PONG, b"\xff\xfe"), b""),
)

# --- Close ------------------------------------------------------------------------------------------------------------

GOOD_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4001,
              4999)
BAD_CODES = (0, 1, 2, 255, 256, 500, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1099, 1100, 2000, 2999, 5000, 5001, 9999,
             32768, 65535)


def closes(case, payload, code, behind=b"", target="/raw"):
    """The client's Close, with this payload, is answered as it is."""
    return played(case, says(frame(BINARY, b"last words") + frame(CLOSE, payload) + behind), up=b"last words",
                  down=[closed_as(payload)], code=code, target=target)


CLOSES = [
    *messages("fr_close_code_ok", "RFC 6455 7.4",
        *(closes(f"{code}", close_payload(code), code) for code in GOOD_CODES),
        *(closes(f"{code}-reason", close_payload(code, "grüße"), code) for code in GOOD_CODES)),
    *messages("fr_close_code_bad", "RFC 6455 7.4",
        *(bad(f"{code}", close_frame(code)) for code in BAD_CODES),
        *(bad(f"{code}-reason", close_frame(code, "why")) for code in BAD_CODES)),
    *messages("fr_close_1byte", "RFC 6455 5.5.1",
        bad("03", frame(CLOSE, b"\x03")), bad("00", frame(CLOSE, b"\0")), bad("ff", frame(CLOSE, b"\xff")),
        bad("in-a-message", more(BINARY, b"a") + frame(CLOSE, b"\x03"), passed=b"a")),
    *messages("fr_close_utf8", "RFC 6455 5.5.1, 8.1",
        *(bad(name, close_frame(1000, reason), 1007) for name, reason in (
            ("lone-continuation", b"\x80"), ("latin-1", "für".encode("latin-1")), ("cut-short", "€".encode()[:2]),
            ("overlong", b"\xc0\xaf"), ("surrogate", b"\xed\xa0\x80"), ("above-10ffff", b"\xf4\x90\x80\x80"),
            ("ff", b"\xff"),
            ("late", b"x" * 122 + b"\xe2"))),
        bad("in-4000", close_frame(4000, b"ok\xfe"), 1007),
        bad("bad-code-first", close_frame(1005, b"\xff"), 1002)),
    *messages("fr_close_once", "RFC 6455 5.5.1",
        closes("empty", b"", 1005),
        closes("longest", close_payload(1000, b"r" * 123), 1000),
        closes("longest-utf-8", close_payload(4999, "ü" * 61), 4999),
        closes("reason-nul", close_payload(1000, b"\0"), 1000),
        closes("twice", close_payload(1000), 1000, close_frame(1000)),
        closes("twice-different", close_payload(1001), 1001, close_frame(1000)),
        closes("empty-twice", b"", 1005, close_frame()),
        played("without-anything-before", says(close_frame(1000)), down=[closed_as(close_payload(1000))]),
        played("on-echo", says(frame(TEXT, b"bye") + close_frame()), up=None, target="/echo",
               down=[text(b"bye"), closed_as(b"")], code=1005)),
    *messages("fr_after_close", "RFC 6455 5.5.1, 7.1.6",
        *(closes(name, close_payload(1000), 1000, behind) for name, behind in (
            ("data", frame(BINARY, b"does not count")), ("text", frame(TEXT, b"\xff")), ("ping", frame(PING, b"x")),
            ("continuation", frame(CONTINUATION, b"x")), ("unmasked", frame(BINARY, b"x", mask=None)),
            ("garbage", b"\xff" * 100),
            ("half-a-header", b"\x82"), ("much", frame(BINARY, some(70000)))))),
]

FAILED = messages("fr_fail_stops", "RFC 6455 7.1.7",
    *(bad(name, frame(BINARY, b"bad", rsv=2), behind=behind) for name, behind in (
        ("nothing", b""), ("close", close_frame(1000)), ("ping", frame(PING, b"p")), ("data", frame(BINARY, b"data")),
        ("bad-text", frame(TEXT, b"\xff")), ("much", frame(BINARY, some(70000))), ("garbage", b"\xff" * 5000),
        ("another-violation", close_frame(999)))),
    bad("ping-before", frame(PONG, b"x") + frame(3)),
    bad_echo("on-echo-after-an-answer", frame(TEXT, b"t") + frame(PING, b"p") + frame(3), 1002, text(b"t"), pong(b"p")),
    bad_echo("on-echo-in-a-message", more(TEXT, b"half") + frame(3), 1002, text(b"half", fin=False)),
)

# --- text -------------------------------------------------------------------------------------------------------------

VALID = {
    "empty": "", "ascii": "ascii", "u+0000": "\0", "u+007f": "\x7f", "u+0080": "\x80", "u+07ff": "\u07ff",
    "u+0800": "\u0800",
    "u+d7ff": "\ud7ff", "u+e000": "\ue000", "u+feff": "\ufeff", "u+fffd": "\ufffd", "u+fffe": "\ufffe",
    "u+ffff": "\uffff",
    "u+10000": "\U00010000", "u+1ffff": "\U0001ffff", "u+fffff": "\U000fffff", "u+10ffff": "\U0010ffff",
    "mixed": "a€ü𝄞z\0ש",
    "long": "κόσμε" * 100,
}
INVALID = {
    "lone-80": b"\x80", "lone-bf": b"\xbf", "lead-c0": b"\xc0\x80", "lead-c0-af": b"\xc0\xaf", "lead-c1": b"\xc1\xbf",
    "overlong-3": b"\xe0\x80\xaf", "overlong-3-least": b"\xe0\x80\x80", "overlong-3-most": b"\xe0\x9f\xbf",
    "overlong-4": b"\xf0\x80\x80\xaf", "overlong-4-most": b"\xf0\x8f\xbf\xbf", "overlong-nul": b"\xf0\x80\x80\x80",
    "surrogate-d800": b"\xed\xa0\x80", "surrogate-dbff": b"\xed\xaf\xbf", "surrogate-dc00": b"\xed\xb0\x80",
    "surrogate-dfff": b"\xed\xbf\xbf", "surrogate-pair": b"\xed\xa1\x8c\xed\xbe\xb4", "u+110000": b"\xf4\x90\x80\x80",
    "lead-f5": b"\xf5\x80\x80\x80", "lead-f7": b"\xf7\xbf\xbf\xbf", "five-bytes": b"\xf8\x88\x80\x80\x80",
    "six-bytes": b"\xfc\x84\x80\x80\x80\x80", "fe": b"\xfe", "ff": b"\xff", "second-of-2": b"\xc3\x28",
    "second-of-3": b"\xe2\x28\xa1",
    "third-of-3": b"\xe2\x82\x28", "second-of-4": b"\xf0\x28\x8c\xbc", "third-of-4": b"\xf0\x90\x28\xbc",
    "fourth-of-4": b"\xf0\x90\x8c\x28",
    "lead-after-lead": b"\xc3\xc3\xa4", "one-too-many": "€".encode() + b"\x80", "latin-1": "straße".encode("latin-1"),
    "late": b"x" * 3000 + b"\xff", "utf-16": "text".encode("utf-16"),
}
UNFINISHED = {"1-of-2": b"\xc3", "1-of-3": b"\xe2", "2-of-3": b"\xe2\x82", "1-of-4": b"\xf0", "2-of-4": b"\xf0\x9d",
              "3-of-4": b"\xf0\x9d\x84", "after-text": b"text\xe2"}

EURO = "€".encode()


def bad_text(case, payload, frames=None, **options):
    return bad(case, frame(TEXT, payload) if frames is None else frames, 1007, more=payload, **options)


TEXTS = [
    *messages("fr_text_valid", "RFC 6455 5.6, 8.1",
        *(echoed(name, frame(TEXT, t.encode()), text(t.encode())) for name, t in VALID.items()),
        *(echoed(f"{name}-byte-by-byte", singly(TEXT, t.encode()), text(t.encode())) for name, t in VALID.items() if t),
        *(good(f"{name}-to-a-backend", frame(TEXT, t.encode()), t.encode()) for name, t in VALID.items()),
        echoed("state-ends-with-the-message", frame(TEXT, EURO) + frame(BINARY, b"\x82\xac") + frame(TEXT, EURO),
               text(EURO), binary(b"\x82\xac"), text(EURO)),
        good("binary-is-not-looked-at", frame(BINARY, b"\xff\xc0\x80" * 10), b"\xff\xc0\x80" * 10),
        good("binary-continuations-neither", pieces(BINARY, b"\xe2", b"\xff", b"\x80"), b"\xe2\xff\x80")),
    *messages("fr_text_utf8", "RFC 6455 8.1, RFC 3629 3",
        *(bad_text(name, t) for name, t in INVALID.items()),
        *(bad_text(f"{name}-byte-by-byte", t, singly(TEXT, t)) for name, t in INVALID.items() if len(t) > 1),
        *(bad_text(f"{name}-behind-a-character", EURO + INVALID[name]) for name in ("lone-80", "surrogate-d800",
                                                                                    "u+110000", "ff")),
        bad_text("on-a-text-route", b"\xff", target="/text"),
        bad_echo("on-echo", frame(TEXT, b"\xff"), 1007)),
    *messages("fr_text_cut_short", "RFC 6455 8.1",
        *(bad_text(name, t) for name, t in UNFINISHED.items()),
        *(bad_text(f"{name}-in-fragments", t, pieces(TEXT, t, b"")) for name, t in UNFINISHED.items()),
        bad_text("goes-on-in-the-next-message", EURO[:2], frame(TEXT, EURO[:2]) + frame(TEXT, EURO[2:]))),
    *messages("fr_text_at_once", "RFC 6455 8.1: at the first byte that cannot be text",
        bad_text("message-not-ended", b"ok\xff", more(TEXT, b"ok\xff"), behind=b""),
        bad_text("second-fragment-not-ended", b"ok\xe2\x82\x28",
                 more(TEXT, b"ok\xe2\x82") + more(CONTINUATION, b"\x28"), behind=b""),
        bad_text("frame-not-ended", b"\xed\xa0", frame(TEXT, b"\xed\xa0", length=1000), behind=b""),
        bad_text("huge-frame-not-ended", b"\xf4\x90", frame(TEXT, b"\xf4\x90", length=1 << 40), behind=b"")),
    *messages("fr_text_refused", "RFC 6455 7.4.1: 1003",
        *(bad(f"{name}-on-{target}", frames, 1003, target=f"/{target}")
          for target, opcode in (("binary", TEXT), ("text", BINARY))
          for name, frames in (("whole", frame(opcode, b"x")), ("empty", frame(opcode)),
                               ("fragment", more(opcode, b"x")), ("long", frame(opcode, b"x" * 70000)),
                               ("only-the-header", frame(opcode, b"x" * 200)[:2]))),
        bad("protocol-error-comes-first", frame(TEXT, b"x", rsv=1), 1002, target="/binary"),
        bad("no-type-to-refuse", frame(CONTINUATION, b"x"), 1002, target="/binary"),
        good("binary-on-binary", frame(BINARY, b"\xff"), b"\xff", target="/binary"),
        good("text-on-text", pieces(TEXT, b"te", b"xt"), b"text", target="/text"),
        echoed("binary-on-echo-binary", frame(BINARY, b"\xff"), binary(b"\xff"), target="/echo-binary"),
        echoed("text-on-echo-text", frame(TEXT, b"t"), text(b"t"), target="/echo-text"),
        bad_echo("text-on-echo-binary", frame(TEXT, b"x"), 1003, target="/echo-binary"),
        bad_echo("binary-on-echo-text", frame(BINARY, b"x"), 1003, target="/echo-text")),
]

# --- limits and empty frames ------------------------------------------------------------------------------------------

LIMITS = messages("fr_limit", "RFC 6455 10.4: max_message = 1000",
    bad("1001", frame(BINARY, some(1001)), 1009, target="/small"),
    bad("1001-announced", frame(BINARY, b"", length=1001), 1009, target="/small", behind=b""),
    bad("2^62-announced", frame(BINARY, b"", length=1 << 62), 1009, target="/small", behind=b""),
    bad("2^63-1-announced", frame(BINARY, b"", length=(1 << 63) - 1), 1009, target="/small", behind=b""),
    bad("2^63-announced", frame(BINARY, b"", length=1 << 63, form=64), 1002, target="/small", behind=b""),
    bad("text", frame(TEXT, b"x" * 70000), 1009, target="/small"),
    bad("1000-and-1", more(BINARY, some(1000)) + more(CONTINUATION, b"x"), 1009, passed=some(1000), target="/small"),
    bad("999-and-2", more(BINARY, some(999)) + frame(CONTINUATION, b"xy"), 1009, passed=some(999), target="/small"),
    bad("500-500-1", more(BINARY, some(500)) + more(CONTINUATION, some(500)) + more(CONTINUATION, b"x"), 1009,
        passed=some(500) * 2,
        target="/small"),
    bad("1001-times-1", more(BINARY, b"x") + more(CONTINUATION, b"x") * 1000, 1009, passed=b"x" * 1000,
        target="/small"),
    bad("1-and-2^63-1", more(BINARY, b"x") + frame(CONTINUATION, b"", length=(1 << 63) - 1), 1009, passed=b"x",
        target="/small",
        behind=b""),
    bad("text-route", frame(TEXT, b"x" * 1001), 1009, target="/text-small"),
    bad("refused-kind-first", frame(BINARY, some(1001)), 1003, target="/text-small"),
    good("1000", frame(BINARY, some(1000)) * 5, some(1000) * 5, target="/small"),
    good("600-400", pieces(BINARY, some(600), some(400)) * 3, (some(600) + some(400)) * 3, target="/small"),
    good("1000-and-empty", pieces(TEXT, b"x" * 1000, b"", b""), b"x" * 1000, target="/small"),
    echoed("1000-on-echo", frame(BINARY, some(1000)) + frame(TEXT, b"t" * 1000), binary(some(1000)), text(b"t" * 1000),
           target="/echo-small"),
    echoed("ping-inside", more(BINARY, some(600)) + frame(PING, some(125)) + frame(CONTINUATION, some(400)),
           binary(some(600), fin=False), pong(some(125)), rest(some(400)), target="/echo-small"),
    bad_echo("1001-on-echo", frame(BINARY, some(1001)), 1009, target="/echo-small"),
)

EMPTY = messages("fr_empty", "RFC 6455 5.2, 5.6",
    good("1000-of-them", frame(BINARY) * 1000 + frame(TEXT) * 100 + frame(BINARY, b"x"), b"x"),
    good("nothing-else", frame(BINARY) * 10, b""),
    good("fragments", pieces(BINARY, b"", b"", b"") + pieces(TEXT, b"", b""), b""),
    echoed("is-a-message", frame(BINARY) + frame(TEXT) + pieces(BINARY, b"", b"") + frame(TEXT, b"t"), binary(b""),
           text(b""), binary(b""), text(b"t")),
)

# --- with the request -------------------------------------------------------------------------------------------------

EARLY = messages("hs_pipelined_frame", "RFC 6455 4.1: what is behind the blank line belongs to the stream",
    good("one", frame(BINARY, b"early"), b"early", early=True),
    good("two", frame(BINARY, b"early ") + frame(TEXT, b"bird"), b"early bird", early=True),
    good("many", b"".join(frame(BINARY, some(n)) for n in range(60)), b"".join(some(n) for n in range(60)), early=True),
    good("ping", frame(PING, b"p"), b"", pong(b"p"), early=True),
    good("70000", frame(BINARY, some(70000)), some(70000), early=True),
    good("nothing-but-a-close", b"", b"", early=True),
    echoed("on-echo", pieces(TEXT, b"ear", b"ly"), text(b"early"), early=True),
    *(played(name, says(frames), up=up, down=[closed(code)], code=code, early=True)
      for name, frames, up,
      code in (("violation", frame(BINARY, b"good") + frame(3) + frame(BINARY, b"not"), b"good", 1002),
                                     ("unmasked", frame(BINARY, b"x", mask=None), b"", 1002),
                                     ("bad-close", close_frame(1005), b"", 1002))),
    played("half-a-frame", says(frame(BINARY, b"hello")[:8]), says(frame(BINARY, b"hello")[8:] + close_frame(1000)),
           up=b"hello", down=[closed_as(close_payload(1000))], early=True),
    played("then-the-end", says(frame(BINARY, b"early")), CLIENT_ENDS, up=b"early", code=1006, early=True),
    played("a-second-request", says(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), down=[closed(1002)], code=1002, early=True),
)

# --- ends -------------------------------------------------------------------------------------------------------------

LAST = {"between": (b"", b""), "after-a-frame": (frame(BINARY, b"whole"), b"whole"),
        "inside-a-payload": (frame(BINARY, b"part", length=100), b"part"),
        "inside-a-message": (more(TEXT, b"part"), b"part"),
        "inside-a-character": (more(TEXT, EURO[:1]), EURO[:1]), "after-one-byte": (frame(BINARY, b"xy")[:1], b""),
        "inside-a-length": (frame(BINARY, some(300))[:3], b""), "inside-a-mask": (frame(BINARY, b"xy")[:4], b""),
        "before-the-payload": (frame(BINARY, b"xy")[:6], b""), "inside-a-ping": (frame(PING, b"ping")[:8], b""),
        "inside-a-close": (close_frame(1000, b"why")[:8], b"")}

BYE = [closed_as(close_payload(1000))]

ENDS = [
    *messages("fr_eof_1006", "RFC 6455 7.1.5",
        *(played(name, says(frame(BINARY, b"before") + last), CLIENT_ENDS, up=b"before" + up, code=1006)
          for name, (last, up) in LAST.items()),
        *(played(f"{name}-cut", says(frame(BINARY, b"before") + last), CLIENT_CUTS, up=b"before" + up, code=1006,
                 end=None)
          for name, (last, up) in LAST.items() if name in ("between", "inside-a-payload", "inside-a-length")),
        played("at-once", CLIENT_ENDS, code=1006),
        played("on-echo", says(frame(TEXT, b"t")), heard(1), CLIENT_ENDS, up=None, target="/echo", down=[text(b"t")],
               code=1006),
        played("reset", says(frame(BINARY, b"before")), reached(6), CLIENT_RESETS, up=b"before", code=1006, end=None),
        played("half-closed-behind-its-close", says(frame(BINARY, b"a") + close_frame(1000)), CLIENT_ENDS, up=b"a",
               down=BYE)),
    *messages("fr_our_codes", "RFC 6455 7.4.1",
        played("backend-ends", answers(b"the end"), BACKEND_ENDS, TOLD, says(close_frame(1000)),
               down=[binary(b"the end"), closed(1000)]),
        played("backend-ends-without-a-word", BACKEND_ENDS, TOLD, says(close_frame(1000)), down=[closed(1000)]),
        played("backend-ends-and-we-say-more", answers(b"bye"), BACKEND_ENDS, TOLD,
               says(frame(BINARY, b"one more ") + frame(TEXT, b"thing")),
               reached(14), says(close_frame(1000)), up=b"one more thing", down=[binary(b"bye"), closed(1000)]),
        played("backend-ends-and-we-ping", BACKEND_ENDS, TOLD, says(frame(PING, b"?") + close_frame(1000)),
               down=[closed(1000)]),
        played("backend-ends-and-we-close-otherwise", BACKEND_ENDS, TOLD, says(close_frame(4000, "mine")),
               down=[closed(1000)]),
        played("backend-ends-and-we-fail", BACKEND_ENDS, TOLD,
               says(frame(BINARY, b"good") + frame(3, b"bad") + frame(BINARY, b"x")), up=b"good", down=[closed(1000)]),
        played("backend-ends-and-we-end", BACKEND_ENDS, TOLD, CLIENT_ENDS, down=[closed(1000)]),
        played("backend-ends-in-our-message", says(more(BINARY, b"ha")), reached(2), BACKEND_ENDS, TOLD,
               says(frame(CONTINUATION, b"lf") + close_frame(1000)), up=b"half", down=[closed(1000)]),
        played("data-behind-our-close", BACKEND_ENDS, TOLD, says(close_frame(1000) + frame(BINARY, b"not")),
               down=[closed(1000)]),
        played("backend-resets", says(frame(BINARY, b"x")), reached(1), BACKEND_RESETS, TOLD, says(close_frame(1011)),
               up=b"x", down=[closed(1011)], code=1011),
        played("backend-resets-after-an-answer", answers(b"some"), heard(4), BACKEND_RESETS, TOLD,
               says(close_frame(1011)), down=[binary(b"some"), closed(1011)], code=1011),
        played("backend-resets-and-we-end", BACKEND_RESETS, TOLD, CLIENT_ENDS, down=[closed(1011)], code=1011)),
    *messages("fr_tcp_close_first", "RFC 6455 7.1.1",
        played("much-behind-the-close", says(close_frame(1000) + b"\0" * 20000), down=BYE),
        played("much-behind-a-violation", says(frame(3) + b"\0" * 20000), down=[closed(1002)], code=1002),
        played("backend-speaks-after-the-close", says(frame(BINARY, b"a") + close_frame(1000)), reached(1),
               answers(b"late" * 1000), up=b"a", down=BYE)),
]

# --- down -------------------------------------------------------------------------------------------------------------

PHRASE = "grüße, €uro, 𝄞 "


def answered(case, *parts, kind=binary, target="/raw"):
    """The backend sends these parts and ends."""
    whole = b"".join(parts)
    return played(case, *map(answers, parts), BACKEND_ENDS, TOLD, says(close_frame(1000)), target=target,
                  down=[*([kind(whole)] if whole else []), closed(1000)])


DOWN = [
    *messages("fr_server_frames", "RFC 6455 5.1, 5.2: no mask, shortest lengths, whole messages",
        *(answered(f"{n}", some(n)) for n in (1, 2, 125, 126, 127, 65535, 65536, 65537, 300000)),
        answered("many", *[some(n) for n in range(1, 60)]),
        answered("looks-like-frames", frame(TEXT, b"not a frame", mask=None) + close_frame(1000, mask=None)),
        played("to-and-fro", says(frame(BINARY, b"one")), reached(3), answers(b"two"), heard(3),
               says(frame(PING, b"p")), heard(3),
               says(frame(TEXT, b"three")), reached(8), answers(b"four"), heard(7), says(close_frame(1000)),
               up=b"onethree", down=[binary(b"two"), pong(b"p"), binary(b"four"), *BYE])),
    *messages("fr_text_sent", "RFC 6455 8.1: send = text",
        *(answered(name, *parts, kind=text, target="/send-text") for name, parts in (
            ("ascii", [b"ascii"]), ("characters", [PHRASE.encode()]), ("u+10ffff", ["\U0010ffff".encode()]),
            ("byte-by-byte", [PHRASE.encode()[i:i + 1] for i in range(len(PHRASE.encode()))]),
            ("long", [PHRASE.encode() * 3000]), ("nothing", []))),
        *(played(f"{name}", answers(b"ok"), heard(2), answers(bad_bytes), TOLD, says(close_frame(1011)),
                 target="/send-text", down=[text(b"ok"), closed(1011)], code=1011)
          for name, bad_bytes in (("bad-ff", b"\xff is no text"), ("bad-lone-80", b"\x80"),
                                  ("bad-surrogate", b"\xed\xa0\x80"), ("bad-overlong", b"\xc0\xaf"))),
        *(played(f"good-before-{name}", answers(b"ok" + EURO + bad_bytes), TOLD, says(close_frame(1011)),
                 target="/send-text", down=[text(b"ok" + EURO), closed(1011)], code=1011)
          for name, bad_bytes in (("bad-ff", b"\xff is no text"), ("cut-character", EURO[:2] + b"no"),
                                  ("two-tails", EURO[:1] + EURO[:2]))),
        played("good-after-a-tail-before-bad", answers(b"ok" + EURO[:2]), heard(2), answers(EURO[2:] + b"x\xff"), TOLD,
               says(close_frame(1011)), target="/send-text", down=[text(b"ok" + EURO + b"x"), closed(1011)],
               code=1011),
        played("ends-inside-a-character", answers(b"ok" + EURO[:2]), BACKEND_ENDS, TOLD, says(close_frame(1011)),
               target="/send-text", down=[text(b"ok"), closed(1011)], code=1011)),
]

MESSAGES = [*UNMASKED, *MASKS, *RSV, *OPCODES, *LENGTHS, *MINIMAL, *TOP_BIT, *ORPHANS, *NESTED, *FRAGMENTS,
            *INTERLEAVED,
            *CONTROL_FORM, *PINGS, *PONGS, *CLOSES, *FAILED, *TEXTS, *LIMITS, *EMPTY, *EARLY, *ENDS, *DOWN]
