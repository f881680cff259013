"""Results as they are kept (bench.json) and what follows from them: ratios, medians, verdicts."""

import json
import os

from cases import INCUMBENT, UNITS


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


class Row:
    """One comparison: the runs of both sides, and what is to be said about them."""

    def __init__(self, stored):
        self.stored = stored
        self.key, self.title, self.bar = stored["key"], stored["title"], stored["bar"]
        self.absolute, self.peer = stored["absolute"], stored["peer"]
        self.unit = UNITS[stored["unit"]]
        self.ours, self.theirs = stored["ours_runs"], stored["theirs_runs"]
        self.ratios = [ours["cost"] / theirs["cost"] for ours, theirs in zip(self.ours, self.theirs)]
        self.ratio = median(self.ratios)

    def medians(self, name):
        """Of that figure of a run, ours and theirs."""
        return median([run[name] for run in self.ours]), median([run[name] for run in self.theirs])

    def verdict(self):
        """met, missed, or nothing where there is no bar."""
        if self.bar is None:
            return ""
        return "met" if self.within_bar() else "missed"

    def within_bar(self):
        return (self.medians("cost")[0] if self.absolute else self.ratio) <= self.bar

    def bar_text(self):
        if self.bar is None:
            return ""
        return f"≤ {self.bar:g} KiB" if self.absolute else f"≤ {self.bar:.2f}"

    def bar_as_ratio(self):
        """Where the bar stands on the scale of ratios: one that is absolute, by what the peer takes."""
        return self.bar / self.medians("cost")[1] if self.absolute else self.bar


def stored_row(case, runs):
    return {"key": case.key, "title": case.title, "unit": case.unit, "bar": case.bar, "absolute": case.absolute,
            "peer": case.theirs.label, "ours_runs": runs[0], "theirs_runs": runs[1]}


class Results:
    """All rows of one bench.json, those of the incumbent among them, and where they were measured."""

    def __init__(self, directory):
        self.directory = directory
        self.machine, self.settings, self.stored, self.left_out = {}, {}, [], []

    def file(self, name):
        return os.path.join(self.directory, name)

    def load(self):
        with open(self.file("bench.json"), encoding="utf-8") as source:
            everything = json.load(source)
        self.machine, self.settings = everything["machine"], everything["settings"]
        self.stored, self.left_out = everything["rows"], everything["left_out"]

    def save(self):
        os.makedirs(self.directory, exist_ok=True)
        with open(self.file("bench.json"), "w", encoding="utf-8") as out:
            json.dump({"machine": self.machine, "settings": self.settings, "rows": self.stored,
                       "left_out": self.left_out}, out, indent=1, ensure_ascii=False)
            out.write("\n")

    def forget(self, keys):
        self.stored = [row for row in self.stored if row["key"] not in keys]
        self.left_out = []

    def add(self, case, runs, order):
        """Adds a row, and keeps all in the order of the goals."""
        row = stored_row(case, runs)
        self.stored.append(row)
        self.stored.sort(key=lambda row: order.index((row["key"], row["title"], row["peer"])))
        return Row(row)

    def rows(self):
        return [Row(row) for row in self.stored if row["key"] != INCUMBENT]

    def scale(self):
        return [Row(row) for row in self.stored if row["key"] == INCUMBENT]
