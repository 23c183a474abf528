"""How the ledger's cost grows with its accounts, as an SVG: a panel for each figure. It brings its own background, light or dark as the reader
has it."""
from math import ceil, floor, log10
from pathlib import Path

# Each panel: title with the unit, whether its axis is logarithmic, and its lines: (key in a row of ledger.py, name, class).
PANELS = (
    ("CPU time of an operation, µs", False, (("cpu_us", "", "a"),)),
    ("proof of inclusion, µs", True, (("proof_p99_us", "99 %", "b"), ("proof_us", "median", "a"))),
    ("audit on two cores, s", True, (("audit_s", "", "a"),)),
    ("start, s", True, (("start_s", "", "a"),)),
    ("memory of the process, MiB", True, (("resident_mib", "with the pages of the state's file", "b"), ("anonymous_mib", "anonymous", "a"))),
    ("state on the disk, MiB", True, (("state_mib", "", "a"),)),
)
STYLE = """
text { font: 12px sans-serif; fill: #24292f } .title { font-weight: bold; font-size: 13px } .small { font-size: 11px }
.back { fill: #ffffff } .grid { stroke: #d0d7de } .axis { stroke: #57606a }
.a { stroke: #0969da; fill: none; stroke-width: 2 } .b { stroke: #bc4c00; fill: none; stroke-width: 2; stroke-dasharray: 6 3 }
.dot-a { fill: #0969da } .dot-b { fill: #bc4c00 } .name-a { fill: #0969da } .name-b { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .back { fill: #0d1117 } .grid { stroke: #30363d } .axis { stroke: #8b949e }
.a { stroke: #58a6ff } .b { stroke: #f0883e } .dot-a { fill: #58a6ff } .dot-b { fill: #f0883e } .name-a { fill: #58a6ff } .name-b { fill: #f0883e }
}
"""
WIDTH, HEIGHT = 250, 170  # of a panel's field
LEFT, TOP, RIGHT, BOTTOM = 58, 34, 18, 64
COLUMNS = 3


def _number(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"


def _count(value):
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


class _Axis:
    """Values to a length; `ticks` are the values that get a line."""

    def __init__(self, values, logarithmic, length):
        self.logarithmic = logarithmic
        self.length = length
        if logarithmic:
            self.low, self.high = floor(log10(min(values))), max(floor(log10(min(values))) + 1, ceil(log10(max(values))))
            self.ticks = [10.0**power for power in range(self.low, self.high + 1)]
        else:
            step = 10.0 ** floor(log10(max(values)))
            step = next(step * factor for factor in (0.2, 0.5, 1, 2) if max(values) <= 6 * step * factor)
            count = ceil(max(values) / step)
            self.low, self.high = 0.0, step * count
            self.ticks = [step * number for number in range(count + 1)]

    def at(self, value):
        value = log10(value) if self.logarithmic else value
        return self.length * (value - self.low) / (self.high - self.low)


def _panel(rows, sizes, panel, left, top):
    title, logarithmic, series = panel
    values = [rows[size][key] for key, _, _ in series for size in sizes if rows[size].get(key)]
    lines = [f'<text class="title" x="{left}" y="{top - 12}">{title}</text>']
    if not values:
        return lines
    axis = _Axis(values, logarithmic, HEIGHT)
    span = max(1e-9, log10(sizes[-1]) - log10(sizes[0]))

    def across(size):
        return left + WIDTH * (log10(size) - log10(sizes[0])) / span

    for tick in axis.ticks:
        y = top + HEIGHT - axis.at(tick)
        lines.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{left + WIDTH}" y2="{y:.1f}"/><text class="small" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for size in sizes:
        lines.append(f'<line class="grid" x1="{across(size):.1f}" y1="{top}" x2="{across(size):.1f}" y2="{top + HEIGHT}"/>'
                     f'<text class="small" x="{across(size):.1f}" y="{top + HEIGHT + 16}" text-anchor="middle">{_count(size)}</text>')
    lines.append(f'<path class="axis" fill="none" d="M{left},{top} v{HEIGHT} h{WIDTH}"/>')
    lines.append(f'<text class="small" x="{left + WIDTH / 2}" y="{top + HEIGHT + 32}" text-anchor="middle">accounts</text>')
    for number, (key, name, style) in enumerate(series):
        points = [(across(size), top + HEIGHT - axis.at(rows[size][key])) for size in sizes if rows[size].get(key)]
        lines.append(f'<polyline class="{style}" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>')
        lines += [f'<circle class="dot-{style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
        if name:
            x, anchor = (left, "start") if number == 0 else (left + WIDTH, "end")
            lines.append(f'<text class="small name-{style}" x="{x}" y="{top + HEIGHT + 48}" text-anchor="{anchor}">{name}</text>')
    return lines


def plot(rows, path):
    """`rows`: {accounts: {what: figure}}."""
    sizes = sorted(rows)
    step_x, step_y = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    width, height = COLUMNS * step_x, 34 + step_y * ceil(len(PANELS) / COLUMNS)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
             "<title>How the cost of millet-ledgerd grows with its accounts</title>", f"<style>{STYLE}</style>", f'<rect class="back" width="{width}" height="{height}"/>',
             '<text class="title" x="16" y="24">millet-ledgerd by the number of its accounts (logarithmic, as are the other axes but the one of CPU time)</text>']
    for number, panel in enumerate(PANELS):
        lines += _panel(rows, sizes, panel, LEFT + step_x * (number % COLUMNS), 34 + TOP + step_y * (number // COLUMNS))
    Path(path).write_text("\n".join([*lines, "</svg>"]) + "\n", encoding="utf-8")
