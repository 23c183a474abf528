"""The figures of a bench and their table: a row for each thing that was measured, a column for each seeder."""
import statistics


class Figures:
    """`ours` is compared with the better of the others; the target is to be better than it in every row."""

    def __init__(self, names, ours):
        self.names = names
        self.ours = ours
        self.rows = {}  # what -> {name: [values]}
        self.more_is_better = set()
        self.other_cores = []
        self.notes = []
        self.failures = []

    def add(self, what, name, value, more_is_better=False):
        self.rows.setdefault(what, {}).setdefault(name, []).append(value)
        if more_is_better:
            self.more_is_better.add(what)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def fail(self, name, text):
        self.failures.append(name)
        self.note(text)

    def failed(self, name):
        return name in self.failures

    def _compared(self, what):
        """(ratio to the better other, what the target is missed by in per cent; 0 if it is met), or None."""
        medians = {name: statistics.median(values) for name, values in self.rows[what].items()}
        ours = medians.pop(self.ours, None)
        if ours is None or not medians:
            return None
        more = what in self.more_is_better
        better = max(medians.values()) if more else min(medians.values())
        if better <= 0 or ours <= 0:
            return None  # below the clock's resolution
        ratio = ours / better
        return ratio, max(0.0, 100 * (1 - ratio if more else ratio - 1))

    def _cell(self, what, name):
        values = self.rows[what].get(name)
        if not values:
            return "-"
        digits = 0 if statistics.median(values) >= 100 else 1 if statistics.median(values) >= 10 else 2
        text = f"{statistics.median(values):.{digits}f}"
        return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}-{max(values):.{digits}f})"

    def _line(self, what):
        line = [what] + [self._cell(what, name) for name in self.names]
        if len(self.names) == 1:
            return line
        compared = self._compared(what)
        if compared is None:
            return line + ["-", "-"]
        ratio, missed = compared
        return line + [f"{ratio:.2f}", f"missed by {missed:.0f} %" if missed > 0 else "met"]

    def show(self):
        """A Markdown table: median (least-most)."""
        lines = [["", *self.names] + (["to the better peer", "target"] if len(self.names) > 1 else [])]
        lines += [self._line(what) for what in self.rows]
        widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(lines[0]))]
        lines.insert(1, ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]])
        for line in lines:
            print("| " + " | ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))) + " |")
        for text in self.notes:
            print(f"\nnote: {text}")
        if self.ours in self.names and len(self.names) > 1:
            missed = [f"{what} by {found[1]:.0f} %" for what in self.rows if (found := self._compared(what)) and found[1] > 0]
            print(f"\n{self.ours} misses the target (better than the better peer) at: " + "; ".join(missed) if missed else f"\n{self.ours} is better than the better peer at every point.")
