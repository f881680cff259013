"""Results as Markdown: the table of goals, latencies, the incumbent for scale, and what was measured where."""

import os
import re

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
SUMMARY = ("P1", "P2", "P3", "P4", "P8")
MARKS = {"met": "met", "missed": "**missed**", "": ""}


def number(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def both(row, figure, unit):
    ours, theirs = row.medians(figure)
    return f"{number(ours)} / {number(theirs)} {unit}"


def rate(row):
    return both(row, "rate", row.unit.rate) if row.unit.rate else ""


def table(header, lines):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *lines]) + "\n"


def ratios(row):
    return f"**{row.ratio:.2f}** ({min(row.ratios):.2f} to {max(row.ratios):.2f})"


def goals(rows):
    return table(
        ["", "work", "peer", "ratio: median (min to max)", "bar", "", "cost, sallyport / peer",
         "rate, sallyport / peer"],
        [[row.key, row.title, row.peer, ratios(row), row.bar_text(), MARKS[row.verdict()],
          both(row, "cost", row.unit.cost), rate(row)] for row in rows])


def summary(rows):
    """What a README has room for: the first row of each of these goals."""
    first = [next((row for row in rows if row.key == key), None) for key in SUMMARY]
    return table(
        ["work", "peer", "cost as a ratio: median (min to max)", "cost, sallyport / peer"],
        [[row.title, row.peer, ratios(row), both(row, "cost", row.unit.cost)] for row in first if row])


def latencies(rows):
    return table(
        ["", "work", "peer", "p50", "p99", "p99.9, sallyport / peer"],
        [[row.key, row.title, row.peer, *(both(row, name, "µs") for name in ("p50_us", "p99_us", "p999_us"))]
         for row in rows if row.unit.latency])


def scale(rows):
    return table(
        ["work", "websockify costs", "cost, sallyport / websockify", "rate, sallyport / websockify"],
        [[row.title, f"{number(1 / row.ratio)} times as much", both(row, "cost", row.unit.cost), rate(row)]
         for row in rows])


def provenance(results):
    """Whose versions, on what machine, how often and how long."""
    machine, settings = results.machine, results.settings
    pairs = "One pair" if settings["pairs"] == 1 else f"{settings['pairs']} pairs"
    lines = [f"{pairs} of runs of {settings['seconds']:g} s for each comparison. {machine['versions']}.",
             f"{machine['system']}. {machine['placement']}"]
    lines += [f"Left out: {reason}." for reason in results.left_out]
    return "\n\n".join(lines) + "\n"


def tables(results):
    parts = [goals(results.rows())]
    if any(row.unit.latency for row in results.rows()):
        parts += ["Latency of a message there and back, or of a handshake, with the server's processor kept busy:\n",
                  latencies(results.rows())]
    if results.scale():
        parts += ["For scale, websockify:\n", scale(results.scale())]
    return "\n".join([*parts, provenance(results)])


def page(results):
    return f"# sallyport and its peers\n\n![the ratios of the table](bench.svg)\n\n{tables(results)}"


def rewrite(path, directory, results):
    """Puts picture, summary and a link to the whole, which is in directory, between the two comments that mark their place."""
    with open(path, encoding="utf-8") as source:
        text = source.read()
    new = (f"{BEGIN}\n\n![cost of the same work, sallyport to its peers]({os.path.join(directory, 'bench.svg')})\n\n"
           f"{summary(results.rows())}\n"
           f"All rows, latencies and versions: [{os.path.join(directory, 'results.md')}]({os.path.join(directory, 'results.md')}).\n\n{END}")
    text, found = re.subn(f"{BEGIN}.*?{END}", lambda match: new, text, flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"{path} does not have one pair of {BEGIN} and {END}")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
