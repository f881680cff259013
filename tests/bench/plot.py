"""Results as a picture in SVG: a row for each comparison, its median a dot, its extremes a whisker, its bar a tick."""

import math
from xml.sax.saxutils import escape

WIDTH, MARGIN = 930, 24
PEERS = 258                   # where their names begin
LABELS = 350                  # where the scale begins
SCALE = 410                   # how long it is
TOP, ROW = 92, 27
STEP = 0.25
MOST = 2.5                    # what is beyond is an arrow at the edge

STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328; font: 13px system-ui, 'DejaVu Sans', sans-serif }
  .title { font-size: 16px; font-weight: 600 } .soft { fill: #59636e } .small { font-size: 12px }
  .grid { stroke: #d8dee4; stroke-width: 1 } .one { stroke: #59636e; stroke-width: 1.5 }
  .bar { stroke: #1f2328; stroke-width: 2.5 } .met { stroke: #0a7d4b; fill: #0a7d4b }
  .missed { stroke: #c4432b; fill: #c4432b } .unjudged { stroke: #59636e; fill: #59636e }
  .whisker { stroke-width: 2.5; fill: none }
  .dot { stroke-width: 2 } .missed.dot { fill: #ffffff } text.met, text.missed { stroke: none; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #3d444d } text { fill: #e6edf3 } .soft { fill: #9da7b3 }
    .grid { stroke: #262c36 } .one { stroke: #9da7b3 } .bar { stroke: #e6edf3 }
    .met { stroke: #3fb97a; fill: #3fb97a } .missed { stroke: #f0836b; fill: #f0836b } .missed.dot { fill: #0d1117 }
    .unjudged { stroke: #9da7b3; fill: #9da7b3 }
  }"""


def text(x, y, content, classes="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}" text-anchor="{anchor}">{escape(content)}</text>'


def line(x1, y1, x2, y2, classes):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"/>'


def most(row):
    return max(row.ratios + ([] if row.bar is None else [row.bar_as_ratio()]))


class Axis:
    """From zero to a little more than the largest of all, or to MOST."""

    def __init__(self, rows):
        largest = max([1.0] + [most(row) for row in rows])
        self.end = min(math.ceil(largest / STEP + 0.2) * STEP, MOST)

    def x(self, ratio):
        return LABELS + SCALE * min(ratio, self.end) / self.end

    def draw(self, bottom):
        for step in range(int(self.end / STEP) + 1):
            at = step * STEP
            yield line(self.x(at), TOP - 8, self.x(at), bottom, "one" if at == 1 else "grid")
            yield text(self.x(at), TOP - 14, f"{at:.2f}", "small" if at == 1 else "small soft", "middle")


def legend(y):
    """The signs of the rows, once more with their names."""
    x = LABELS
    yield line(x, y - 4, x + 30, y - 4, "whisker met")
    yield f'<circle cx="{x + 15}" cy="{y - 4}" r="5" class="dot met"/>'
    yield text(x + 38, y, "median, min to max: bar met", "small soft")
    x += 226
    yield line(x, y - 4, x + 30, y - 4, "whisker missed")
    yield f'<circle cx="{x + 15}" cy="{y - 4}" r="5" class="dot missed"/>'
    yield text(x + 38, y, "missed", "small soft")
    x += 100
    yield line(x, y - 11, x, y + 3, "bar")
    yield text(x + 8, y, "bar", "small soft")


def row_marks(row, axis, y):
    kind = row.verdict() or "unjudged"
    low, middle, high = axis.x(min(row.ratios)), axis.x(row.ratio), axis.x(max(row.ratios))
    if row.bar is not None:
        yield line(axis.x(row.bar_as_ratio()), y - 9, axis.x(row.bar_as_ratio()), y + 9, "bar")
    yield line(low, y, high, y, f"whisker {kind}")
    yield from (line(end, y - 4, end, y + 4, f"whisker {kind}") for end in (low, high))
    if row.ratio > axis.end:
        yield f'<path d="M{middle - 4:.1f} {y - 6} l8 6 l-8 6 z" class="dot {kind}"/>'
    else:
        yield f'<circle cx="{middle:.1f}" cy="{y}" r="5" class="dot {kind}"/>'


def row_text(row, y):
    yield text(MARGIN, y + 4, row.key, "soft")
    yield text(MARGIN + 36, y + 4, row.title)
    yield text(PEERS, y + 4, row.peer, "soft")
    yield text(LABELS + SCALE + 74, y + 4, f"{row.ratio:.2f}", row.verdict(), "end")
    yield text(LABELS + SCALE + 88, y + 4, row.bar_text(), "soft small")


def heads():
    """Of the columns that are text."""
    yield text(MARGIN + 36, TOP - 14, "work", "small soft")
    yield text(PEERS, TOP - 14, "peer", "small soft")
    yield text(LABELS + SCALE + 74, TOP - 14, "median", "small soft", "end")
    yield text(LABELS + SCALE + 88, TOP - 14, "bar", "small soft")


def draw(rows):
    """The picture as text."""
    axis = Axis(rows)
    bottom = TOP + ROW * len(rows)
    height = bottom + 44
    parts = [f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="card"/>',
             text(MARGIN, 32, "Cost of the same work: sallyport to its peer", "title"),
             text(MARGIN, 52, "CPU time of the server (P8: memory), as a ratio; left of 1.00 is cheaper than the peer",
                  "small soft"), *heads(), *axis.draw(bottom), *legend(bottom + 26)]
    for index, row in enumerate(rows):
        y = TOP + ROW * index + ROW // 2
        parts += [*row_text(row, y), *row_marks(row, axis, y)]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img" aria-label="Cost of the same work: sallyport to its peers">\n<style>{STYLE}\n</style>\n'
            + "\n".join(parts) + "\n</svg>\n")
