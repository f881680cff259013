"""What is compared with what: each goal's work, its unit, its peer and its bar. Tables only; measure.py runs them."""

import collections

GIB = 1024 ** 3
KIB = 1024

# A unit of work: how cost and rate are written, how many units the load's report shows, and how many make the number
# handy (microseconds of 1 message are written rather than seconds).
Unit = collections.namedtuple("Unit", "cost rate count cost_scale rate_scale latency")
UNITS = {
    "GiB up": Unit("s/GiB", "GiB/s", lambda got: got["bytes_out"] / GIB, 1, 1, False),
    "GiB down": Unit("s/GiB", "GiB/s", lambda got: got["bytes_in"] / GIB, 1, 1, False),
    "message": Unit("µs/message", "k messages/s", lambda got: got["messages"], 1e6, 1e-3, True),
    "frame": Unit("ns/frame", "M frames/s", lambda got: got["frames"], 1e9, 1e-6, False),
    "handshake": Unit("µs/handshake", "k handshakes/s", lambda got: got["messages"], 1e6, 1e-3, True),
    "session": Unit("KiB/session", None, None, 1 / KIB, 1, False),     # memory, not CPU time
}

Side = collections.namedtuple("Side", "server workers mode backend options label")
# key: what CASES= of make bench chooses it by. bar: of the ratio, or in the unit itself if absolute; None: only shown.
Case = collections.namedtuple("Case", "key title unit ours theirs bar absolute")

LABELS = {"sallyport": "sallyport", "sallyport-tls": "sallyport", "haproxy": "HAProxy", "haproxy-tls": "HAProxy",
          "haproxy-splice": "HAProxy splicing",          "lighttpd": "lighttpd", "websockify": "websockify"}


def side(server, mode, backend, options, workers=1, label=None):
    return Side(server, workers, mode, backend, tuple(options.split()), label or LABELS[server])


def against(key, title, unit, peer, bar, load, ours="sallyport", absolute=False):
    """The same load for both."""
    return Case(key, title, unit, side(ours, *load), side(peer, *load), bar, absolute)


UP64 = ("up", "sink", "-n 4 -s 64k")
UP16 = ("up", "sink", "-n 4 -s 16k")
UP64B = ("up", "sink", "-n 4 -s 64")
DOWN = ("down", "source", "-n 4")
ECHO = ("echo", "echo", "-n 50 -s 64")
ECHO2000 = ("echo", "echo", "-n 2000 -s 64")
IN_TURN2000 = ("echo", "echo", "-n 2000 -s 64 -w 50")
IN_TURN9000 = ("echo", "echo", "-n 9000 -s 64 -w 50")
HANDSHAKE = ("handshake", "echo", "-n 8 -a 50")
RESUME = ("handshake", "echo", "-n 8 -a 50 -R")
IDLE = ("idle", "echo", "-n 2000")
IDLE50 = ("idle", "echo", "-n 50")

CASES = [
    against("P1", "up, 64 KiB frames", "GiB up", "haproxy", 0.80, UP64),
    against("P1", "up, 16 KiB frames", "GiB up", "haproxy", 0.60, UP16),
    against("P2", "down", "GiB down", "haproxy", 0.75, DOWN),
    against("P2b", "down, against splicing", "GiB down", "haproxy-splice", 0.95, DOWN),
    against("P3", "64 B echo, 50 sessions", "message", "haproxy", 0.95, ECHO),
    against("P4", "64 B frames in bulk", "frame", "lighttpd", 0.20, UP64B),
    against("P5", "TLS up, 64 KiB frames", "GiB up", "haproxy-tls", 1.00, UP64, "sallyport-tls"),
    against("P5", "TLS down", "GiB down", "haproxy-tls", 1.00, DOWN, "sallyport-tls"),
    against("P6", "TLS 64 B echo, 50 sessions", "message", "haproxy-tls", 0.95, ECHO, "sallyport-tls"),
    against("P7", "handshake and close", "handshake", "lighttpd", 0.90, HANDSHAKE),
    against("P8", "memory, idle", "session", "haproxy", 4, IDLE, absolute=True),
    against("P8", "memory, idle", "session", "lighttpd", 4, IDLE, absolute=True),
    against("P8", "memory, idle, TLS", "session", "haproxy-tls", 16, IDLE, "sallyport-tls", absolute=True),
    Case("P9", "echo, 2000 sessions in turn", "message", side("sallyport", *IN_TURN2000),
         side("sallyport", *ECHO, label="itself, 50"), 1.3, False),
    Case("P9", "echo, 9000 sessions in turn", "message", side("sallyport", *IN_TURN9000),
         side("sallyport", *ECHO, label="itself, 50"), 1.3, False),
    Case("P9", "echo, 2000 sessions at once", "message", side("sallyport", *ECHO2000),
         side("sallyport", *ECHO, label="itself, 50"), 1.3, False),
    against("P9", "echo, 2000 sessions at once", "message", "haproxy", 1.00, ECHO2000),
    Case("P10", "64 B echo, two workers", "message", side("sallyport", *ECHO, workers=2),
         side("sallyport", *ECHO, label="itself, one"), 1.1, False),
    against("P11", "TLS handshake and close, full", "handshake", "haproxy-tls", 1.00, HANDSHAKE, "sallyport-tls"),
    against("P11", "TLS handshake and close, resumed", "handshake", "haproxy-tls", 1.00, RESUME, "sallyport-tls"),
]

# The incumbent, for scale: one short pair each, and no bar.
SCALE = [
    against("W", "up, 64 KiB frames", "GiB up", "websockify", None, UP64),
    against("W", "down", "GiB down", "websockify", None, DOWN),
    against("W", "64 B echo, 50 sessions", "message", "websockify", None, ECHO),
    against("W", "handshake and close", "handshake", "websockify", None, HANDSHAKE),
    Case("W", "memory, idle", "session", side("sallyport", *IDLE), side("websockify", *IDLE50), None, True),
]

BAR_OF_BEFORE = 1.03


def with_itself(cases):
    """Each load once, with an earlier gateway as the peer."""
    once = {(case.ours, case.unit): case for case in reversed(cases)}
    return [case._replace(theirs=case.ours._replace(server=case.ours.server.replace("sallyport", "before"),
                                                    label="itself before"), bar=BAR_OF_BEFORE, absolute=False)
            for case in cases if once[case.ours, case.unit] is case]


INCUMBENT = "W"
KEYS = list(dict.fromkeys(case.key for case in CASES + SCALE))
