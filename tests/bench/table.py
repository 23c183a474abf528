"""The figures of a bench and their table: a row for each thing that was measured, a column for each seeder."""
import statistics


class Target:
    """`ours` is at most `limit` (at least, where more is better): times the median of the best of `rivals`, or absolute without rivals."""

    def __init__(self, limit, rivals=()):
        self.limit = limit
        self.rivals = rivals

    def missed(self, ours, others, more):
        """What it is missed by in per cent, 0 if it is met; None if there is nothing to compare with."""
        base = 1.0
        if self.rivals:
            values = [others[name] for name in self.rivals if name in others]
            if not values:
                return None
            base = max(values) if more else min(values)
        bound = self.limit * base
        if bound <= 0 or ours <= 0:
            return None  # below the clock's resolution
        return max(0.0, 100 * (1 - ours / bound if more else ours / bound - 1))

    def text(self, more):
        relation = ">=" if more else "<="
        if not self.rivals:
            return f"{relation} {self.limit:g}"
        return f"{relation} {self.limit:g} x " + ("peer" if len(self.rivals) > 1 else self.rivals[0])


class Between(Target):
    """`ours` is within absolute bounds."""

    def __init__(self, least, most):
        super().__init__(most)
        self.least = least

    def missed(self, ours, others, more):
        if ours < self.least:
            return 100 * (1 - ours / self.least)
        return max(0.0, 100 * (ours / self.limit - 1))

    def text(self, more):
        return f"{self.least:g} to {self.limit:g}"


class Figures:
    """`ours` is compared with the better of `peers`; a row without targets of its own has this one: to be no worse than it."""

    def __init__(self, names, ours, peers):
        self.names = names
        self.ours = ours
        self.peers = tuple(peers)
        self.rows = {}  # what -> {name: [values]}
        self.targets = {}  # what -> [Target]
        self.more_is_better = set()
        self.other_cores = []
        self.notes = []
        self.failures = []

    def add(self, what, name, value, more_is_better=False, targets=None):
        self.rows.setdefault(what, {}).setdefault(name, []).append(value)
        if more_is_better:
            self.more_is_better.add(what)
        self.targets.setdefault(what, [Target(1.0, self.peers)] if targets is None else targets)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def fail(self, name, text):
        self.failures.append(name)
        self.note(text)

    def failed(self, name):
        return name in self.failures

    def _medians(self, what):
        return {name: statistics.median(values) for name, values in self.rows[what].items()}

    def _missed(self, what):
        """[(target, missed by per cent)], those that can be told."""
        medians = self._medians(what)
        ours = medians.pop(self.ours, None)
        if ours is None:
            return []
        more = what in self.more_is_better
        found = [(target, target.missed(ours, medians, more)) for target in self.targets[what]]
        return [(target, missed) for target, missed in found if missed is not None]

    def _ratio(self, what):
        medians = self._medians(what)
        values = [medians[name] for name in self.peers if name in medians]
        if self.ours not in medians or not values:
            return "-"
        better = max(values) if what in self.more_is_better else min(values)
        return f"{medians[self.ours] / better:.2f}" if better > 0 else "-"

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
        verdicts = [f"{target.text(what in self.more_is_better)}: " + (f"missed by {missed:.0f} %" if missed > 0 else "met") for target, missed in self._missed(what)]
        return line + [self._ratio(what), "; ".join(verdicts) or "-"]

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
            missed = [f"{what} ({target.text(what in self.more_is_better)}) by {by:.0f} %" for what in self.rows for target, by in self._missed(what) if by > 0]
            print(f"\n{self.ours} misses its targets at: " + "; ".join(missed) if missed else f"\n{self.ours} meets every target.")
