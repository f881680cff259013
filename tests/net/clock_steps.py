#!/usr/bin/python3
"""R11: the wall clock leaps by a day, forwards and back, and the process is stopped for a minute; nobody may be
disconnected.

    SALLYPORT=/abs/sallyport tests/net/clock_steps.py [--quick]

A preloaded clock moves CLOCK_REALTIME alone, as a step of the system's does. For SIGSTOP all timers are far shorter
than the stop: pings every 2 s, pong_timeout 3 s, idle_timeout 5 s, handshake_timeout 5 s. Half of the sessions talk all
the time, half answer pings alone, after a second, so that many pongs come while the gateway is stopped; some clients
have sent half of their request by then and send the rest, and some come only then. Goal: 0 disconnects, all answered.
Takes 90 s; --quick stops for 12 s and takes 35.
"""

import asyncio
import os
import signal
import struct
import sys
import time

import script
from clients import Client
from wsclient import request

SESSIONS, HALF_REQUESTS, NEWCOMERS = 100, 20, 20
DAY = 86400
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

/* Seconds that the wall clock is wrong by, in a file that the test writes. */
static int64_t step(void)
{
	static volatile int64_t *shared;
	if (shared == NULL) {
		int fd = open(getenv("CLOCK_STEP_FILE"), O_RDONLY | O_CLOEXEC);
		shared = mmap(NULL, sizeof(*shared), PROT_READ, MAP_SHARED, fd, 0);
	}
	return *shared;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*next)(clockid_t, struct timespec *);
	if (next == NULL)
		next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int result = next(clock, now);
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		now->tv_sec += step();
	return result;
}

int gettimeofday(struct timeval *now, void *zone)
{
	struct timespec precise;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &precise);
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}
"""
CONFIG = """[server]
workers = 2
[listen plain]
address = 127.0.0.1:0
handshake_timeout = 5s
[route talks]
path = /talks
target = echo:
ping_interval = 2s
pong_timeout = 3s
idle_timeout = 5s
lifetime = 1h
[route listens]
path = /listens
target = echo:
ping_interval = 2s
pong_timeout = 3s
idle_timeout = 1h
"""


class Crowd:
    """Sessions that live as long as they are let."""

    def __init__(self, address):
        self.talkers = [Client(address, "/talks", pong_after=1) for _ in range(SESSIONS // 2)]
        self.listeners = [Client(address, "/listens", pong_after=1) for _ in range(SESSIONS // 2)]
        self.tasks = []

    def all(self):
        return self.talkers + self.listeners

    async def open(self):
        for client in self.all():
            await client.open()
            self.tasks.append(asyncio.ensure_future(self.read(client)))
            await asyncio.sleep(0.02) # pings at different times
        self.tasks.append(asyncio.ensure_future(self.talk()))

    @staticmethod
    async def read(client):
        async for _ in client.frames():
            pass

    async def talk(self):
        while True:
            for client in self.talkers:
                client.send(b"still here")
            await asyncio.sleep(0.5)

    def ended(self):
        return [f"{client.path} {client.ended}" for client in self.all() if client.ended]

    async def close(self):
        for client in self.all():
            client.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def set_clock(path, seconds):
    with open(path, "r+b") as file:
        file.write(struct.pack("=q", seconds))


async def step_clock(running, path, verdicts):
    address = running.address("plain")
    crowd = Crowd(address)
    await crowd.open()
    for step in (DAY, -DAY, 0):
        mark = running.mark()
        set_clock(path, step)
        await asyncio.sleep(4)
        other = await Client(address, "/talks").open()
        other.close()
        shown = (await asyncio.to_thread(running.wait_for, "session end", since=mark)).line.split()[0]
        print(f"       the log says {shown} at {step / DAY:+.0f} days")
        verdicts.check(not crowd.ended(), f"wall clock {step / DAY:+.0f} days: {len(crowd.ended())} of {SESSIONS} "
                       f"disconnected {crowd.ended()[:3]}")
    await crowd.close()


async def half_request(address):
    client = Client(address, "/talks")
    await client.connect()
    client.writer.write(request("/talks")[:40])
    await client.writer.drain()
    return client


async def answered(client):
    """What became of a request: None if it is 101."""
    try:
        await asyncio.wait_for(client.opened(), 20)
        return None
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
        return repr(error)


async def stop_process(running, seconds, verdicts):
    address = running.address("plain")
    crowd = Crowd(address)
    await crowd.open()
    await asyncio.sleep(4)
    halves = [await half_request(address) for _ in range(HALF_REQUESTS)]
    await asyncio.sleep(0.5) # they are accepted
    running.signal(signal.SIGSTOP)
    await asyncio.sleep(2)
    for client in halves:
        client.writer.write(request("/talks")[40:])
    newcomers = [Client(address, "/talks") for _ in range(NEWCOMERS)]
    for client in newcomers:
        await client.connect()
        client.writer.write(request("/talks"))
    await asyncio.sleep(seconds - 2)
    running.signal(signal.SIGCONT)
    failures = [what for what in await asyncio.gather(*map(answered, halves + newcomers)) if what]
    asked = len(halves + newcomers)
    verdicts.check(not failures, f"{asked - len(failures)} of {asked} requests of the time of the stop answered by 101 {failures[:3]}")
    await asyncio.sleep(6) # two more rounds of pings
    verdicts.check(not crowd.ended(), f"R11: stopped for {seconds} s: {len(crowd.ended())} of {SESSIONS} disconnected (goal 0) "
                   f"{crowd.ended()[:3]}")
    silent = crowd.listeners[0]
    silent.pong_after = 3600
    began = time.monotonic()
    while silent.ended is None and time.monotonic() - began < 30:
        await asyncio.sleep(0.1)
    verdicts.check(silent.ended is not None, "a client that is silent now is still found dead, after "
                   f"{time.monotonic() - began:.1f} s")
    for client in halves + newcomers:
        client.close()
    await crowd.close()


def main():
    given = script.arguments(__doc__)
    verdicts = script.Verdicts()
    with script.directory() as path:
        clock = os.path.join(path, "step")
        with open(clock, "wb") as file:
            file.write(bytes(8))
        shim = script.compile_shim(path, "step", SHIM)
        unconfined = CONFIG.replace("[server]", "[server]\nsandbox = off")
        with script.gateway(unconfined, verdicts, env={"LD_PRELOAD": shim, "CLOCK_STEP_FILE": clock}) as running:
            asyncio.run(step_clock(running, clock, verdicts))
        with script.gateway(CONFIG, verdicts) as running:
            asyncio.run(stop_process(running, 12 if given.quick else 60, verdicts))
    return verdicts.end()


if __name__ == "__main__":
    sys.exit(main())
