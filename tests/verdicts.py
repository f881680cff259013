"""Goals of one run, met or missed: what the scripts of bench/ and net/ print of each, and their last line.

Owns the count; what is measured, and how well, is the scripts'.
"""


class Verdicts:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, met, what):
        self.passed, self.failed = self.passed + bool(met), self.failed + (not met)
        print(f"{'ok    ' if met else 'MISSED'} {what}", flush=True)
        return met

    def end(self):
        """The status of the script."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0
