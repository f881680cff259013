#!/usr/bin/python3
"""The disk with the log is full: the gateway goes on, and says afterwards how many records are lost. As root.

    SALLYPORT=/abs/sallyport tests/fault/full_disk.py

In a mount namespace of its own, on a file system of 64 KiB in memory, which goes with the process.
"""

import os
import signal
import re
import subprocess
import sys

import rig
from rig import Bystander, Daemon, Fault, wait
import scenarios
from world import World

INSIDE = "FULL_DISK_INSIDE" # set in the namespace


def fill(directory):
    """Leaves a few bytes, so that a record is torn, and then nothing."""
    with open(os.path.join(directory, "filler"), "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def sessions(daemon, world, count):
    for _ in range(count):
        scene = scenarios.Scene(daemon, world)
        scenarios.plain(scene)
        scene.close()


def expect(condition, complaint):
    if not condition:
        raise Fault(complaint)


def reopen(daemon, wanted):
    since = daemon.mark()
    daemon.signal(signal.SIGUSR1)
    return daemon.wait_record(wanted, since)


def judge(daemon, served):
    """What is in the log: whole records, and the number of those that are not."""
    records = daemon.records()
    strange = [r.line for r in records if r.level is None and r.line]
    expect(len(strange) <= 1, f"torn lines: {strange}")
    told = sum(int(m[1]) for m in (re.search(r"(\d+) log records could not be written", r.line) for r in records) if m)
    ends = sum(r.event == "session end" for r in records)
    expect(told + ends >= served, f"{served} sessions, {ends} in the log, {told} told as lost")
    return ends, told


def run(directory, log_directory):
    world = World(directory)
    daemon = Daemon(directory, world.config(f"sallyport-disk-{os.getpid()}"), log=os.path.join(log_directory, "log"))
    try:
        wait(lambda: len(daemon.addresses()) == 4 or not daemon.alive(), "the gateway does not start", 60)
        daemon.known_addresses = daemon.addresses()
        bystander = Bystander(daemon.known_addresses["plain"]).start()
        sessions(daemon, world, 20)
        fill(log_directory)
        sessions(daemon, world, 100)
        daemon.signal(signal.SIGUSR1)
        daemon.signal(signal.SIGHUP)
        sessions(daemon, world, 20)
        bystander.moves_on()
        os.unlink(os.path.join(log_directory, "filler"))
        sessions(daemon, world, 20)
        daemon.wait_record("log records could not be written")
        reopen(daemon, "log was reopened")
        bystander.stop()
        daemon.terminate()
        ends, told = judge(daemon, 160)
    finally:
        daemon.kill()
        world.close()
    print(f"160 sessions served, {ends} ends in the log, {told} records told as lost")


def main():
    if INSIDE not in os.environ:
        return subprocess.call(["unshare", "-m", sys.executable, os.path.abspath(__file__)], env={**os.environ, INSIDE: "1"})
    with rig.scratch() as directory:
        log_directory = os.path.join(directory, "disk")
        os.mkdir(log_directory)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "tmpfs", log_directory], check=True)
        try:
            run(directory, log_directory)
        except (Fault, AssertionError, OSError) as failure:
            print(f"FAILED  {type(failure).__name__} {failure}\n0 passed, 1 failed")
            return 1
        finally:
            subprocess.run(["umount", log_directory], check=True)
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
