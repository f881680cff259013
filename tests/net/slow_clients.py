#!/usr/bin/python3
"""R2: when clients that are slow to ask are cut, and how long good ones wait beside a thousand of them.

    SALLYPORT=/abs/sallyport tests/net/slow_clients.py [--quick]

Slow request heads (a byte now and then), slow TLS hellos, half a hello, and connections that stay silent, plain and
TLS: each is timed from connect to its end. The goal is handshake_timeout, 10 s, within a second. Then slowhttptest
comes with 1,000 connections, slow heads (-H) and slow readers of a file (-X), and good clients, who upgrade and get an
echo, are timed one after the other: p99 <= 100 ms. --quick: shorter.
"""

import asyncio
import os
import re
import resource
import ssl
import subprocess
import sys
import time

import script
from clients import Client
from sections import listeners
from wsclient import request

TIMEOUT, TOLERANCE, GOAL_MS, EACH = 10, 1, 100, 20
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(194)


def drip(data):
    return [data[i:i + 1] for i in range(len(data))]


SLOW = {
    "slow request head": ("plain", drip(request("/echo", extra=["X-A: " + "b" * 200]))),
    "half a request head": ("plain", [request("/echo")[:60]]),
    "silent, plain": ("plain", []),
    "slow TLS hello": ("tls", drip(HELLO)),
    "half a TLS hello": ("tls", [HELLO[:60]]),
    "silent, TLS": ("tls", []),
}


async def time_to_end(address, pieces):
    """s from connect until the gateway ends it; a piece every tenth of a second."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(*address)

    async def send():
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.1)
    sending = asyncio.ensure_future(send())
    try:
        while await asyncio.wait_for(reader.read(4096), 60):
            pass
    except OSError:
        pass
    sending.cancel()
    writer.close()
    return time.monotonic() - began


async def measure_deadline(running, verdicts):
    jobs = {name: [time_to_end(running.address(listener), pieces) for _ in range(EACH)]
            for name, (listener, pieces) in SLOW.items()}
    names = list(jobs)
    outcome = await asyncio.gather(*(asyncio.gather(*jobs[name]) for name in names))
    for name, seconds in zip(names, outcome):
        verdicts.check(all(abs(one - TIMEOUT) <= TOLERANCE for one in seconds),
                       f"R2: {name}, {len(seconds)} of them: cut after {min(seconds):.2f} to {max(seconds):.2f} s (goal 10 s +- 1)")


async def good_clients(address, context, attack):
    """ms from connect to 101, and from a message to its echo, while the attack lasts."""
    upgraded, echoed = [], []
    number = 0
    while attack.poll() is None:
        client = await Client(address["tls" if number % 2 else "plain"], "/echo", context if number % 2 else None).open()
        upgraded.append(client.handshake * 1000)
        sent = time.monotonic()
        client.send(b"good")
        await client.read_frame()
        echoed.append((time.monotonic() - sent) * 1000)
        client.close()
        number += 1
        await asyncio.sleep(0.02)
    return upgraded, echoed


def slowhttptest(mode, url, seconds):
    words = {"-H": "-H -i 3", "-X": "-X -w 512 -y 1024 -n 5 -z 32 -k 3"}[mode].split()
    log = open(os.path.join(os.environ.get("TMPDIR", "/tmp"), f"slowhttptest-{os.getpid()}.log"), "w+", encoding="utf-8",
               errors="replace")
    os.unlink(log.name)
    process = subprocess.Popen(["slowhttptest", *words, "-c", "1000", "-r", "500", "-l", str(seconds), "-p", "5", "-u", url],
                               stdout=log, stderr=subprocess.STDOUT)
    return process, log


def most_connected(log):
    """How many connections the attack had at once, by its own count."""
    log.seek(0)
    text = re.sub(r"\x1b\[[\d;]*m", "", log.read())
    return max((int(number) for number in re.findall(r"connected:\s+(\d+)", text)), default=0)


async def attack(running, context, mode, path, seconds, verdicts):
    addresses = {name: running.address(name) for name in ("plain", "tls")}
    host, port = addresses["plain"]
    process, log = slowhttptest(mode, f"http://{host}:{port}{path}", seconds)
    with log:
        upgraded, echoed = await good_clients(addresses, context, process)
        connected = most_connected(log)
    p99, echo99 = script.percentile(upgraded, 0.99), script.percentile(echoed, 0.99)
    p50 = script.percentile(upgraded, 0.5)
    verdicts.check(p99 <= GOAL_MS and echo99 <= GOAL_MS and connected >= 900,
                   f"R2: beside slowhttptest {mode}, {connected} connected: {len(upgraded)} good clients, 101 after p50 {p50:.1f}, "
                   f"p99 {p99:.1f}, at most {max(upgraded):.1f} ms; echo p99 {echo99:.1f} ms (goal {GOAL_MS} ms)")


def configuration(path):
    certificate = script.make_certificate(path)
    root = os.path.join(path, "web")
    os.mkdir(root)
    with open(os.path.join(root, "large.bin"), "wb") as file:
        file.write(bytes(4 << 20))
    text = "[server]\nworkers = 1\nmax_sessions = 4000\ndrain_timeout = 3s\n" + listeners(certificate)
    return certificate.cert, text + f"[route files]\npath = /*\nroot = {root}\n" + script.route("echo", "echo:")


def main():
    given = script.arguments(__doc__)
    script.install("slowhttptest")
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    verdicts = script.Verdicts()
    with script.directory() as path:
        cert, text = configuration(path)
        context = ssl.create_default_context(cafile=cert)
        with script.gateway(text, verdicts) as running:
            asyncio.run(measure_deadline(running, verdicts))
            for mode, where in (("-H", "/echo"), ("-X", "/large.bin")):
                asyncio.run(attack(running, context, mode, where, 15 if given.quick else 30, verdicts))
    return verdicts.end()


if __name__ == "__main__":
    sys.exit(main())
