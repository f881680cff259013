#!/usr/bin/python3
"""Fails the n-th call of one function after the other, n = 1, 2, ... until none is reached, in every kind of session.

    SALLYPORT=/abs/sallyport tests/fault/run.py                     all of it
    SALLYPORT=/abs/sallyport tests/fault/run.py --quick SECONDS     a sample that differs with --seed
    ... run.py -f malloc -f recv -s tls -e ENOMEM -n 17             some of it, to see one failure again

After each fault the gateway has to be alive, its bystanders unharmed, each session over within five seconds and named in
the log, all descriptors given back, and a new session served. Use a build with --enable-sanitizers.
"""

import argparse
import collections
import errno
import os
import random
import signal
import sys
import time

import rig
from rig import SHORT, Bystander, Daemon, Fault, Shim, arm, name_of, wait
import scenarios
import startup
from world import World

MANY = 1 << 30

E = errno
BYTES = (E.ECONNRESET, E.ETIMEDOUT, E.ENOMEM, E.ENOBUFS, E.EINTR, E.EAGAIN, SHORT)
OPENING = (E.EMFILE, E.ENFILE, E.EACCES, E.ENOMEM)
FAULTS = {
    "malloc": (E.ENOMEM,),
    "accept4": (E.EMFILE, E.ENFILE, E.ENOBUFS, E.ENOMEM, E.ECONNABORTED, E.EPROTO, E.EPERM, E.EINTR),
    "socket": (E.EMFILE, E.ENFILE, E.ENOBUFS, E.ENOMEM, E.EAFNOSUPPORT),
    "connect": (E.ECONNREFUSED, E.ENETUNREACH, E.EADDRNOTAVAIL, E.EAGAIN, E.ENOBUFS, E.ETIMEDOUT, E.EACCES, E.EMFILE),
    "recv": BYTES,
    "read": BYTES,
    "readv": BYTES,
    "send": (*BYTES, E.EPIPE),
    "write": (*BYTES, E.EPIPE),
    "writev": (*BYTES, E.EPIPE),
    "sendfile": (E.ECONNRESET, E.EPIPE, E.EIO, E.ENOMEM, E.EINTR, E.EAGAIN, SHORT),
    "pread": (E.EIO, E.ENOMEM),
    "epoll_ctl": (E.ENOMEM, E.ENOSPC, E.EPERM),
    "epoll_wait": (E.EINTR,),
    "open": (*OPENING, E.EIO, E.ENOSPC),
    "fopen": OPENING,
    "fopen64": OPENING,
    "scandirat": (E.EMFILE, E.ENOMEM),
    "fstat": (E.EIO, E.ENOMEM),
    "fcntl": (E.EMFILE, E.ENOMEM),
    "dup3": (E.EBUSY, E.EINTR),
    "ioctl": (E.EINVAL,),
    "setsockopt": (E.ENOBUFS, E.EINVAL),
    "getsockopt": (E.ENOBUFS,),
    "getsockname": (E.ENOBUFS,),
    "bind": (E.EADDRINUSE, E.EACCES, E.ENOMEM),
    "listen": (E.EADDRINUSE, E.ENOMEM),
    "getaddrinfo": (-3, -10, -2),
    "SSL_new": (0,),
    "SSL_read_ex": (0, E.ENOMEM),
    "SSL_write_ex": (0, E.ENOMEM),
    "SSL_shutdown": (0,),
    "eventfd": (E.EMFILE, E.ENOMEM),
    "epoll_create1": (E.EMFILE, E.ENOMEM),
    "socketpair": (E.EMFILE, E.ENOMEM),
    "pthread_create": (E.EAGAIN,),
}

# What passes by itself: no session may end because of it.
HARMLESS = {(f, e) for f in ("recv", "read", "readv", "send", "write", "writev") for e in (E.EINTR, E.EAGAIN, SHORT)}
HARMLESS.add(("sendfile", SHORT)) # one that takes nothing, of a socket that has room, libevent judges to be the end
FILES = (scenarios.token, scenarios.reload, scenarios.files_tls) # read() is of files there, which do not say EAGAIN
TOLD = (scenarios.reload, scenarios.reopen) # known from the log alone, which is what write() fails
HARMLESS |= {("accept4", e) for e in FAULTS["accept4"]} | {("epoll_wait", E.EINTR), ("ioctl", E.EINVAL)}
# Memory that is gone for good, from the n-th call on, while a session lasts.
LASTING = {("malloc", E.ENOMEM), ("epoll_ctl", E.ENOMEM)}

ONCE_FAILED = [(scenarios.plain, "send", E.ENOBUFS, n) for n in range(2, 6)] # sessions that nobody would have woken
ONCE_FAILED += [(scenarios.plain, "malloc", E.ENOMEM, n) for n in (1, 2)] # connections that the log did not know
ONCE_FAILED += [(scenarios.reload, "malloc", E.ENOMEM, n) for n in (1, 5, 50)] # a reload that ended the process
ONCE_FAILED += [(scenarios.reload, "epoll_ctl", E.ENOMEM, n) for n in (1, 2)] # a listener that never listened
ONCE_FAILED += [(scenarios.vanish, "malloc", E.ENOMEM, n) for n in range(29, 36)] # libevent freed what it had half made
ONCE_FAILED += [(scenarios.files, "malloc", E.ENOMEM, n) for n in range(5, 8)] # a backlog that nothing drained
ONCE_FAILED += [(scenarios.unix, "write", SHORT, 1)] # a record in the line of a torn one
ONCE_FAILED += [(scenarios.files_tls, "read", E.EINTR, n) for n in (8, 12, 13)] # a file cut short


class Target:
    """A gateway under the shim with its two bystanders, started anew when a fault was not survived."""

    def __init__(self, shim, world):
        self.shim, self.world, self.daemon, self.starts = shim, world, None, 0

    def start(self):
        self.starts += 1
        directory = os.path.join(self.world.directory, f"run{self.starts}")
        os.mkdir(directory)
        names = [f"sallyport-fault-{os.getpid()}-{self.starts}-{x}" for x in "ab"]
        self.control, env = self.shim.control()
        daemon = self.daemon = Daemon(directory, self.world.config(names[0]), env)
        daemon.extra = names[0]
        daemon.other_extra = lambda: names[daemon.extra == names[0]]
        wait(lambda: len(daemon.addresses()) == 4 or not daemon.alive(), "the gateway does not start", 30)
        if not daemon.alive():
            raise Fault(f"the gateway does not start: {daemon.stderr()}")
        daemon.known_addresses = daemon.addresses()
        for _ in range(2): # what is made once, by the first session of a kind
            for scenario in (scenarios.tls, scenarios.named_target, scenarios.files, scenarios.reload, scenarios.reopen):
                self.undisturbed(scenario)
        self.bystanders = [Bystander(daemon.known_addresses["plain"]).start()]
        self.quiet = Bystander(daemon.known_addresses["tls"], self.world.client_tls)
        self.quiet.once()
        self._exempt()

    def _exempt(self):
        """What the bystanders and the threads talk by: whatever stays, but for the log and standard error."""
        self.undisturbed(scenarios.reload) # from now on the bystanders hold a generation of their own
        time.sleep(0.5)
        first = self.daemon.open_files()
        self.undisturbed(scenarios.reload)
        self.daemon.wait_descriptors(first)
        self.base = self.daemon.descriptors()
        for fd, what in (first & self.daemon.open_files()):
            self.control.exempt[fd] = fd > 2 and what != self.daemon.log_path

    def undisturbed(self, scenario):
        scene = scenarios.Scene(self.daemon, self.world)
        try:
            scenario(scene)
        except (scenarios.Ended, *scenarios.ENDS) as error:
            raise Fault(f"without a fault {scenario.__name__} ended: {type(error).__name__} {error}") from error
        finally:
            scene.close()

    def round(self, scenario, function, error, nth, times=1):
        """One run with one fault. Returns (whether it came to pass, how often the function was called)."""
        since = self.daemon.mark()
        scene = scenarios.Scene(self.daemon, self.world)
        arm(self.control, function, error, nth, times)
        try:
            harmless = (function, error) in HARMLESS and not (error == E.EAGAIN and scenario in FILES)
            self._play(scenario, scene, harmless)
            if function == "write": # it is the log that may fail
                wait(lambda: self.control.struck > 0 or scenarios.all_told(scene, since), "neither a record nor a failed write")
            else:
                scenarios.settled(scene, since)
        except (TimeoutError, AssertionError) as failure:
            raise Fault(f"{type(failure).__name__} {failure}") from failure
        finally:
            self.control.armed = 0
            scene.close()
        result = self.control.struck > 0, self.control.calls
        self._check()
        scenarios.accounted(scene, since)
        return result

    @staticmethod
    def _play(scenario, scene, harmless):
        try:
            scenario(scene)
        except (scenarios.Ended, *scenarios.ENDS) as end:
            if harmless:
                raise Fault(f"ended without need: {type(end).__name__} {end}") from end
        scene.close()

    def _check(self):
        if not self.daemon.alive():
            self.daemon.judge()
            raise Fault("the gateway ended")
        self.daemon.wait_descriptors(self.base)
        for one in self.bystanders:
            one.moves_on()
        self.quiet.once()
        self.undisturbed(scenarios.echo_target)

    def stop(self):
        """The judgement of all that was: exit status, leaks."""
        if self.daemon is None:
            return
        try:
            for one in self.bystanders:
                one.stop()
            self.quiet.conn.close()
            self.daemon.terminate()
        finally:
            self.daemon.kill()
            self.daemon = None

    def tell(self):
        """The end of the log, and what it said besides."""
        if self.daemon is not None and not self.daemon.alive():
            print(f"        the gateway ended with status {self.daemon.process.returncode}")
        for record in self.daemon.records()[-12:] if self.daemon else []:
            print(f"        | {record.line[:300]}")
        for line in self.daemon.stderr().splitlines()[:40] if self.daemon else []:
            print(f"        ! {line[:300]}")

    def drop(self):
        """After a failure: what is left of the gateway says nothing any more."""
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon = None


class Figures:
    def __init__(self):
        self.faults = collections.Counter()
        self.failures = []
        self.last = None

    def fail(self, where, failure):
        self.failures.append(where)
        print(f"FAILED  {where}\n        {str(failure)[:3000]}", flush=True)

    def print(self, seconds):
        for function, count in sorted((f, c) for f, c in self.faults.items() if c > 0):
            print(f"{function:16} {count:6} faults")
        total = sum(self.faults.values())
        print(f"{total} faults in {seconds:.0f} s\n{total - len(self.failures)} passed, {len(self.failures)} failed")


class Runner:
    def __init__(self, target, options, figures):
        self.target, self.options, self.figures = target, options, figures
        self.tolerance = options.give_up

    def once(self, scenario, function, error, nth, times=1):
        """Returns whether the fault came to pass; a failure is told, and ends the gateway."""
        where = f"-f {function} -e {name_of(error)} -s {scenario.__name__} -n {nth}" + (" --lasting" if times > 1 else "")
        self.figures.last = where
        try:
            if self.target.daemon is None:
                self.target.start()
            struck, self.calls = self.target.round(scenario, function, error, nth, times)
        except Fault as failure:
            self.figures.faults[function] += 1
            self.figures.fail(where, failure)
            self.target.tell()
            self.target.drop()
            if len(self.figures.failures) >= self.tolerance:
                raise SystemExit("too many failures") from failure
            return True
        self.figures.faults[function] += struck
        if self.options.verbose:
            print(where, "struck" if struck else "not reached", self.calls, flush=True)
        return struck

    def all_of(self, scenario, function, error, times=1):
        nth = self.options.start
        while self.once(scenario, function, error, nth, times):
            nth += self.options.stride

    def stop(self):
        try:
            self.target.stop()
        except Fault as failure:
            self.figures.fail("the end, after all these faults", failure)


def everything(runner, chosen, functions, faults, lasting):
    for function in functions:
        for scenario in chosen:
            if function == "write" and scenario in TOLD:
                continue
            if not runner.once(scenario, function, 1, MANY) and runner.calls == 0:
                continue
            for error in faults[function]:
                if not lasting:
                    runner.all_of(scenario, function, error)
                if (function, error) in LASTING and runner.options.nth is None and scenario is not scenarios.reload:
                    runner.all_of(scenario, function, error, MANY)


def sample(runner, chosen, functions, seconds):
    """What once went wrong; then as much as there is time for: any function, in any kind of session, at any of its calls
    there."""
    end, counts = time.monotonic() + seconds, {}
    for scenario, function, error, nth in ONCE_FAILED:
        if scenario in chosen and function in functions:
            runner.once(scenario, function, error, nth)
    pairs = [(f, s) for f in functions for s in chosen if not (f == "write" and s in TOLD)]
    while pairs and time.monotonic() < end:
        function, scenario = random.choice(pairs)
        if (function, scenario) not in counts:
            runner.calls = 0
            runner.once(scenario, function, 1, MANY)
            counts[function, scenario] = runner.calls
        if counts[function, scenario] == 0: # it has no such call
            pairs.remove((function, scenario))
            continue
        runner.once(scenario, function, random.choice(FAULTS[function]), random.randint(1, counts[function, scenario]))


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-f", "--function", action="append", choices=[*FAULTS], help="only this function")
    parser.add_argument("-s", "--scenario", action="append", choices=[*scenarios.BY_NAME, "startup", "drain"],
                        help="only this kind of session, or the start, or the drain")
    parser.add_argument("-e", "--error", action="append", help="only this error, such as ENOMEM")
    parser.add_argument("-n", "--nth", type=int, help="only this call")
    parser.add_argument("--start", type=int, default=1, help="the first call to fail")
    parser.add_argument("--stride", type=int, default=1, help="every so many calls")
    parser.add_argument("--lasting", action="store_true", help="only faults that last from the n-th call on")
    parser.add_argument("--quick", type=float, metavar="SECONDS", help="a sample of all, for so long")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--give-up", type=int, default=20, help="after so many failures")
    parser.add_argument("-v", "--verbose", action="store_true")
    return parser.parse_args()


def run(options, directory, figures):
    shim, world = Shim(directory), World(directory)
    functions = options.function or list(FAULTS)
    names = options.scenario or [*scenarios.BY_NAME, "startup", "drain"]
    chosen = [scenarios.BY_NAME[name] for name in names if name in scenarios.BY_NAME]
    faults = {f: [e for e in FAULTS[f] if not options.error or name_of(e) in options.error] for f in functions}
    functions = [f for f in functions if faults[f]]
    runner = Runner(Target(shim, world), options, figures)
    try:
        if options.nth is not None:
            for scenario in chosen:
                runner.once(scenario, functions[0], faults[functions[0]][0], options.nth, MANY if options.lasting else 1)
        elif options.quick:
            sample(runner, chosen, functions, options.quick)
        else:
            everything(runner, chosen, functions, faults, options.lasting)
    finally:
        runner.stop()
    startup.run(shim, world, options, figures, [n for n in names if n in ("startup", "drain")], functions, faults)
    world.close()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)) # with its gateway, and with the figures so far
    options = read_options()
    random.seed(options.seed)
    if options.quick:
        print(f"seed {options.seed}")
    figures, begun = Figures(), time.monotonic()
    with rig.scratch() as directory:
        try:
            run(options, directory, figures)
        finally:
            print(f"last: {figures.last}")
            figures.print(time.monotonic() - begun)
    return 1 if figures.failures else 0


if __name__ == "__main__":
    sys.exit(main())
