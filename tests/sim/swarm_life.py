#!/usr/bin/python3
"""Runs swarm_life for many seeds, the same users with and without BitTorrent Speed, and says what came of it: a table with 95 % confidence
intervals over the seeds, and a plot.

usage: swarm_life.py --program SWARM_LIFE [--seeds N] [--users N] [--jobs N] [--svg FILE] [--check]; called by ./toolchains/dev longevity
"""
import argparse
import concurrent.futures
import json
import math
import os
import subprocess
import sys
from pathlib import Path

# (name, per cent of the users with Speed, minutes for which who was paid stays on)
ARMS = (
    ("nobody has Speed", 0, 0),
    ("half have Speed, nobody stays for it", 50, 0),
    ("half have Speed, paid ones stay 10 min", 50, 10),
    ("half have Speed, paid ones stay 30 min", 50, 30),
    ("half have Speed, paid ones stay 2 h", 50, 120),
    ("all have Speed, paid ones stay 30 min", 100, 30),
)
COLOURS = ("#444444", "#b9b9b9", "#9ecae1", "#3182bd", "#08519c", "#e6550d")
# Quantiles of Student's t for 95 %, by degrees of freedom; beyond them the normal distribution's is as good.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045, 39: 2.023, 59: 2.001}


def interval(values):
    """(mean, half of the 95 % interval) over the seeds; nothing without values."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, math.inf
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    known = [freedom for freedom in STUDENT if freedom <= len(values) - 1]
    return mean, STUDENT[max(known)] * deviation / math.sqrt(len(values))


def run(program, seed, arm, users):
    _, percent, stay = arm
    command = [program, "--seed", seed, "--speed-percent", percent, "--stay-minutes", stay, "--users", users]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(f"swarm_life.py: {' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def median(values):
    values = sorted(values)
    return values[len(values) // 2] if values else None


def share(part, whole):
    return part / whole * 100 if whole else None


# What the table says of a run: (title, unit, value or nothing)
ROWS = (
    ("file whole after the publisher left", "h", lambda row: row["last_whole_minute"] / 60),
    ("time it was whole", "%", lambda row: share(row["whole_minutes"], row["minutes_after_publisher"])),
    ("seedless minutes with the file whole", "%", lambda row: share(row["seedless_whole_minutes"], row["seedless_minutes"])),
    ("users who got the file", "%", lambda row: share(row["speed"]["complete"] + row["legacy"]["complete"], row["speed"]["arrived"] + row["legacy"]["arrived"])),
    ("payers who got it", "%", lambda row: share(row["speed"]["complete"], row["speed"]["arrived"])),
    ("legacy peers who got it", "%", lambda row: share(row["legacy"]["complete"], row["legacy"]["arrived"])),
    ("a payer's download", "s", lambda row: median(row["speed"]["seconds"])),
    ("a legacy peer's download", "s", lambda row: median(row["legacy"]["seconds"])),
    ("bytes paid for", "MB", lambda row: row["paid_mb"]),
)


def cell(found, unit):
    if found is None:
        return "-"
    digits = 1 if unit in ("h", "%") else 0
    return f"{found[0]:.{digits}f} ± {found[1]:.{digits}f}"


def table(results):
    names = [f"{title}, {unit}" for title, unit, _ in ROWS]
    print("| | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for arm, rows in results.items():
        print(f"| {arm[0]} | " + " | ".join(cell(interval([of(row) for row in rows]), unit) for _, unit, of in ROWS) + " |")


def plot(results, path):
    """For each arm, the share of swarms whose file was whole, over the time since the publisher left, and its 95 % band."""
    width, height, left, top, bottom = 860, 430, 60, 20, 50
    right = 250
    minutes = max(len(row["whole"]) for rows in results.values() for row in rows)

    def x(minute):
        return left + (width - left - right) * minute / minutes

    def y(part):
        return top + (height - top - bottom) * (1 - part)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>']
    for part in (0, 0.25, 0.5, 0.75, 1):
        out.append(f'<path d="M{left} {y(part):.1f}H{width - right}" stroke="#e0e0e0"/><text x="{left - 8}" y="{y(part) + 4:.1f}" text-anchor="end">{part * 100:.0f} %</text>')
    for hour in range(0, minutes // 60 + 1, 2):
        out.append(f'<text x="{x(hour * 60):.1f}" y="{height - bottom + 18}" text-anchor="middle">{hour} h</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">since the publisher left</text>')
    for number, (arm, rows) in enumerate(results.items()):
        points, upper, lower = [], [], []
        for minute in range(0, minutes, 5):
            mean, half = interval([float(row["whole"][minute]) for row in rows])
            half = min(half, 1)
            points.append(f"{x(minute):.1f} {y(mean):.1f}")
            upper.append(f"{x(minute):.1f} {y(min(mean + half, 1)):.1f}")
            lower.append(f"{x(minute):.1f} {y(max(mean - half, 0)):.1f}")
        colour = COLOURS[number]
        out.append(f'<path d="M{"L".join(upper)}L{"L".join(reversed(lower))}Z" fill="{colour}" opacity="0.12"/>')
        out.append(f'<path d="M{"L".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<path d="M{width - right + 10} {top + 10 + 22 * number}h18" stroke="{colour}" stroke-width="3"/>'
                   f'<text x="{width - right + 34}" y="{top + 14 + 22 * number}">{arm[0]}</text>')
    out.append("</svg>")
    Path(path).write_text("\n".join(out) + "\n")


def check(program, users):
    """The short form: a run follows from its seed, money flows where there is some, and the users of both runs are the same ones."""
    first, again, paid = (run(program, 1, arm, users) for arm in (ARMS[0], ARMS[0], ARMS[3]))
    for holds, text in (
            (first == again, "the same seed gave two different lives"),
            (first["paid_mb"] == 0 and first["speed"]["arrived"] == 0, "somebody paid where nobody has Speed"),
            (paid["paid_mb"] > 0 and paid["speed"]["arrived"] > 0, "nobody paid where half of the users have Speed"),
            (paid["speed"]["arrived"] + paid["legacy"]["arrived"] == first["legacy"]["arrived"] == users, "other users came"),
            (first["legacy"]["complete"] > 0, "nobody got the file"),
            (len(first["whole"]) == first["minutes_after_publisher"] > 600, "the life was cut short")):
        if not holds:
            sys.exit(f"swarm_life.py: {text}: {first} {paid}")


def main():
    parser = argparse.ArgumentParser(description="Measures how long swarms keep a file, with and without payments.")
    parser.add_argument("--program", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--users", type=int, default=80)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--svg", type=Path, help="where the plot goes")
    parser.add_argument("--check", action="store_true", help="two short lives, whose sense is tested")
    options = parser.parse_args()
    if options.check:
        check(options.program, options.users)
        return
    jobs = [(seed, arm) for seed in range(1, options.seeds + 1) for arm in ARMS]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(lambda job: run(options.program, job[0], job[1], options.users), jobs))
    results = {arm: [row for (_, other), row in zip(jobs, rows) if other == arm] for arm in ARMS}
    table(results)
    if options.svg:
        plot(results, options.svg)
        print(f"the plot is in {options.svg}")


if __name__ == "__main__":
    main()
