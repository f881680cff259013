"""A memory cgroup, version 1 or 2, whichever this machine has: made, limited, asked, and removed again.

Owns one directory below the memory controller's; it must never limit the process that made it. Needs root.
"""

import contextlib
import os

V1, V2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"


def lacking():
    """Why there is none here; None if there is one."""
    if os.geteuid() != 0:
        return "only root may make cgroups"
    return None if _root() else "this machine has no memory controller"


def _root():
    if os.path.exists(f"{V1}/memory.limit_in_bytes"):
        return V1
    try:
        with open(f"{V2}/cgroup.controllers", encoding="ascii") as file:
            return V2 if "memory" in file.read().split() else None
    except OSError:
        return None


class MemoryGroup:
    def __init__(self, limit):
        root = _root()
        self.version = 1 if root == V1 else 2
        self.path = f"{root}/sallyport-test-{os.getpid()}"
        if self.version == 2:
            with contextlib.suppress(OSError):
                self._put(f"{V2}/cgroup.subtree_control", "+memory")
        os.mkdir(self.path)
        self._put(self._file("memory.limit_in_bytes", "memory.max"), str(limit))
        for name in ("memory.memsw.limit_in_bytes", "memory.swap.max"): # what is swapped out is no answer
            with contextlib.suppress(OSError):
                self._put(f"{self.path}/{name}", str(limit) if self.version == 1 else "0")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.rmdir(self.path)

    def _file(self, one, two):
        return f"{self.path}/{one if self.version == 1 else two}"

    @staticmethod
    def _put(path, text):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)

    @staticmethod
    def _numbers(path):
        with open(path, encoding="ascii") as file:
            return {words[0]: int(words[-1]) for words in map(str.split, file) if words}

    def enter(self):
        """For preexec_fn."""
        self._put(f"{self.path}/cgroup.procs", str(os.getpid()))

    def peak(self):
        with open(self._file("memory.max_usage_in_bytes", "memory.peak"), encoding="ascii") as file:
            return int(file.read())

    def kernel(self):
        """What of the present use is the kernel's, for it."""
        if self.version == 1:
            with open(f"{self.path}/memory.kmem.usage_in_bytes", encoding="ascii") as file:
                return int(file.read())
        return self._numbers(f"{self.path}/memory.stat").get("kernel", 0)

    def kills(self):
        return self._numbers(self._file("memory.oom_control", "memory.events")).get("oom_kill", 0)
