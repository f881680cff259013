"""Faults while the gateway starts, and while it stops: a fresh process for each.

A start that meets a fault either says why and ends with a status that is not 0, or it comes about. To abort for want of
memory is right there, with the words that say so. A stop ends with 0 within its limit, whatever fails.
"""

import os
import random
import signal
import time

from rig import Daemon, Fault, arm, name_of, wait
import scenarios

STARTS_MAX = 150 # of one function with one error: evenly spread over its calls, from a random one on
LISTENERS = 4


class Starts:
    def __init__(self, shim, world):
        self.shim, self.world, self.count = shim, world, 0

    def launch(self, function, error, nth):
        self.count += 1
        directory = os.path.join(self.world.directory, f"start{self.count}")
        os.mkdir(directory)
        control, env = self.shim.control()
        env["LSAN_OPTIONS"] = "detect_leaks=0" # OpenSSL loses some bytes of its tables then, and the process ends anyhow
        if function is not None:
            arm(control, function, error, nth)
        return control, Daemon(directory, self.world.config(f"sallyport-start-{os.getpid()}-{self.count}"), env)

    @staticmethod
    def wait_ready(daemon):
        """True when it serves, False when it has ended."""
        wait(lambda: len(daemon.addresses()) == LISTENERS or not daemon.alive(), "it neither starts nor ends", 30)
        daemon.known_addresses = daemon.addresses()
        return daemon.alive()

    def start(self, function, error, nth):
        """Returns (whether the fault came to pass, how often the function was called)."""
        control, daemon = self.launch(function, error, nth)
        try:
            if self.wait_ready(daemon):
                control.armed = 0
                if daemon.known_addresses["plain"][1] != 0: # else the kernel did not tell its port
                    scene = scenarios.Scene(daemon, self.world)
                    scenarios.echo_target(scene)
                    scene.close()
                daemon.terminate()
            else:
                self._judge_refusal(daemon)
        except (TimeoutError, AssertionError, *scenarios.ENDS, scenarios.Ended) as failure:
            raise Fault(f"{type(failure).__name__} {failure}") from failure
        finally:
            daemon.kill()
        return control.struck > 0, control.calls

    @staticmethod
    def _judge_refusal(daemon):
        text = daemon.stderr()
        if daemon.process.returncode == -signal.SIGABRT and "out of memory" in text:
            return
        daemon.judge(statuses=(1,))
        if not text.strip():
            raise Fault("it ended without a word")

    def stop(self, function, error, nth):
        control, daemon = self.launch(None, 0, 0)
        conns = []
        try:
            self.wait_ready(daemon)
            scene = scenarios.Scene(daemon, self.world)
            conns = [scene.open("/tcp"), scene.open("/tcp", "tls"), scene.open("/source", rcvbuf=4096), scene.connect()]
            conns[3].send(b"GET /tcp HTT")
            time.sleep(0.02)
            begun = time.monotonic()
            arm(control, function, error, nth)
            daemon.terminate()
            if time.monotonic() - begun > 7: # the drain limit, and what a goal of 5 s says of hanging
                raise Fault(f"the stop took {time.monotonic() - begun:.1f} s")
        finally:
            for conn in conns:
                conn.close()
            daemon.kill()
        return control.struck > 0, control.calls


def attempt(figures, act, what, function, error, nth):
    where = f"-s {what} -f {function} -e {name_of(error)} -n {nth}"
    figures.last = where
    try:
        struck, calls = act(function, error, nth)
    except Fault as failure:
        figures.faults[what] += 1
        figures.fail(where, failure)
        return True, None
    figures.faults[what] += struck
    return struck, calls


def spread(figures, starts, function, error, options):
    struck, calls = attempt(figures, starts.start, "startup", function, error, 1 << 30)
    if not calls or struck:
        return
    step = max(options.stride, calls // STARTS_MAX)
    for nth in range(random.randint(1, min(step, calls)), calls + 1, step):
        attempt(figures, starts.start, "startup", function, error, nth)


def stops(figures, starts, function, error, options):
    if not attempt(figures, starts.stop, "drain", function, error, 1 << 30)[1]:
        return
    nth = 1
    while attempt(figures, starts.stop, "drain", function, error, nth)[0] and nth < 400:
        nth += options.stride


def run(shim, world, options, figures, whats, functions, faults):
    """whats: "startup", "drain". With --quick a few of each, of functions at random."""
    starts = Starts(shim, world)
    for what in whats:
        act = starts.start if what == "startup" else starts.stop
        if options.nth is not None:
            attempt(figures, act, what, functions[0], faults[functions[0]][0], options.nth)
            continue
        if options.quick:
            for function in random.sample([f for f in functions if f != "write"], min(4, len(functions))):
                error = random.choice(faults[function])
                attempt(figures, act, what, function, error, random.randint(1, 12))
            continue
        for function in functions:
            for error in faults[function]:
                if what == "drain":
                    stops(figures, starts, function, error, options)
                elif function != "write": # it writes what tells that it is ready
                    spread(figures, starts, function, error, options)
