#!/usr/bin/python3
"""R12: how fast other routes are while names hang for 30 s in the resolver and a backend swallows every packet.

    SALLYPORT=/abs/sallyport tests/net/stuck_dns.py [--quick]

A preloaded getaddrinfo sleeps 30 s for names that begin with `hang`; a nftables rule in the backend's namespace drops
what goes to the black hole. 101 is timed from connect, one client at a time, on a route with a number and on one with a
name: on the idle gateway, then while 50 clients wait for one hanging name and 50 for the black hole, then while every
resolver thread hangs. Goal: p99 <= 10 ms. Those who wait get 504, or Close 1014 if they sent an Origin, at
connect_timeout; then SIGTERM comes while names hang.
"""

import asyncio
import socket
import sys
import time

import netns
import script
from clients import Client
from wsclient import request

GOAL_MS, WAITING = 10, 50
LISTEN = (netns.OUTSIDE, 6080)
ECHO, HOLE = 7001, 7002
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **all)
{
	__typeof__(&getaddrinfo) next = (__typeof__(&getaddrinfo))dlsym(RTLD_NEXT, "getaddrinfo");
	if (host != NULL && strncmp(host, "hang", 4) == 0)
		sleep(30);
	return next(host != NULL && strcmp(host, "named.test") == 0 ? "%s" : host, service, hints, all);
}
""" % netns.BACKEND
HANGING = [f"hang{number}" for number in range(1, 9)]


def configuration():
    text = f"[server]\nworkers = 2\nsandbox = off\ndrain_timeout = 3s\n[listen public]\naddress = {LISTEN[0]}:{LISTEN[1]}\n"
    targets = {"number": f"tcp:{netns.BACKEND}:{ECHO}", "name": f"tcp:named.test:{ECHO}", "hole": f"tcp:{netns.BACKEND}:{HOLE}"}
    targets.update({name: f"tcp:{name}.test:80" for name in HANGING})
    return text + "".join(script.route(name, target) for name, target in targets.items())


async def serve_echo(space):
    with space.entered():
        sock = socket.create_server((netns.BACKEND, ECHO), backlog=1024)

    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
    return await asyncio.start_server(echo, sock=sock)


async def times(network, path, count):
    """ms from connect to 101, one after the other."""
    took = []
    for _ in range(count):
        client = await Client(LISTEN, path, space=network.client).open()
        took.append(client.handshake * 1000)
        client.close()
    return took


async def measure(network, what, count, verdicts, goal=True):
    for path in ("/number", "/name"):
        took = await times(network, path, count)
        p50, p99 = script.percentile(took, 0.5), script.percentile(took, 0.99)
        line = f"{path[1:]:6} route, {what}: 101 after p50 {p50:.2f} ms, p99 {p99:.2f} ms, at most {max(took):.2f} ms"
        if goal:
            verdicts.check(p99 <= GOAL_MS, f"R12: {line} (goal p99 <= {GOAL_MS} ms)")
        else:
            print(f"       {line}")


async def wait_in_vain(network, path, browser):
    """The answer, and after how many seconds it came."""
    client = Client(LISTEN, path, space=network.client)
    await client.connect()
    client.writer.write(request(path, origin="http://gateway.test" if browser else None))
    head = await client.reader.readuntil(b"\r\n\r\n")
    status = int(head.split()[1])
    if status == 101:
        first, payload = await client.read_frame()
        status = f"Close {int.from_bytes(payload[:2], 'big')}" if first == 0x88 else first
    seconds = time.monotonic() - client.asked
    client.close()
    return status, seconds


def start_waiting(network, paths, count):
    return [asyncio.ensure_future(wait_in_vain(network, path, number % 2 == 1)) for path in paths for number in range(count)]


async def judge_waiting(tasks, what, verdicts):
    outcome = await asyncio.gather(*tasks)
    statuses = {str(status) for status, _ in outcome}
    first, last = min(seconds for _, seconds in outcome), max(seconds for _, seconds in outcome)
    verdicts.check(statuses == {"504", "Close 1014"}, f"{len(outcome)} clients of {what}: {sorted(statuses)} after {first:.1f} to "
                   f"{last:.1f} s (connect_timeout 5 s)")


async def run(network, running, count, verdicts):
    server = await serve_echo(network.backend)
    network.vanish("backend", HOLE)
    await times(network, "/name", 20)
    await measure(network, "nothing else", count, verdicts, goal=False)
    tasks = start_waiting(network, ("/hang1", "/hole"), WAITING)
    await asyncio.sleep(0.5)
    await measure(network, "50 wait for a name and 50 for a black hole", count, verdicts)
    await judge_waiting(tasks, "one hanging name and a black hole", verdicts)
    tasks = start_waiting(network, [f"/{name}" for name in HANGING], 4)
    await asyncio.sleep(5.5) # the answer for named.test is no longer fresh
    tasks += start_waiting(network, [f"/{name}" for name in HANGING], 4)
    await measure(network, "all resolver threads hang", count, verdicts)
    await judge_waiting(tasks, "eight hanging names", verdicts)
    running.terminate()
    began = time.monotonic()
    status = await asyncio.to_thread(running.wait)
    verdicts.check(status == 0 and time.monotonic() - began < 10, f"SIGTERM while names hang: status {status} after "
                   f"{time.monotonic() - began:.1f} s")
    server.close()


def main():
    given = script.arguments(__doc__)
    netns.require()
    verdicts = script.Verdicts()
    with script.directory() as path, netns.Network() as network:
        shim = script.compile_shim(path, "hang", SHIM)
        with script.gateway(configuration(), verdicts, preexec=network.gateway.enter, env={"LD_PRELOAD": shim}) as running:
            asyncio.run(run(network, running, 200 if given.quick else 1000, verdicts))
    return verdicts.end()


if __name__ == "__main__":
    sys.exit(main())
