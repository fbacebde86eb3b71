"""Samples to numbers, numbers to a table and to JSON."""

import json
import math
import os
import pathlib
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, field


def median(values: list[float]) -> float:
    return percentile(values, 50)


def percentile(values: list[float], percent: float) -> float:
    """By nearest rank: always a value that was measured."""
    ordered = sorted(values)
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


@dataclass
class Row:
    """One line of the table. `ratio` is value over base, or what else `target` bounds."""
    name: str
    what: str
    unit: str
    value: float
    value_p99: float | None = None
    against: str = ""
    base: float | None = None
    base_p99: float | None = None
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    n: int = 0
    note: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def compare(name: str, what: str, ours: list[float], against: str, base: list[float], most: float | None = None,
                least: float | None = None, unit: str = "ms", **more) -> "Row":
        """Medians against medians; most or least bounds their ratio."""
        ratio = median(ours) / median(base)
        met = None
        target = ""
        if most is not None:
            met, target = ratio <= most, f"<= {most:g} x"
        if least is not None:
            met, target = ratio >= least, f">= {least:g} x"
        return Row(name, what, unit, median(ours), percentile(ours, 99), against, median(base), percentile(base, 99), ratio,
                   target, met, len(ours), samples={"value": ours, "base": base}, **more)

    @staticmethod
    def bounded(name: str, what: str, values: list[float], unit: str, most: float | None, **more) -> "Row":
        """A median against a limit of its own unit."""
        value = median(values)
        return Row(name, what, unit, value, percentile(values, 99), ratio=None,
                   target="" if most is None else f"<= {most:g} {unit}", met=None if most is None else value <= most,
                   n=len(values), samples={"value": values}, **more)


def machine_facts() -> dict:
    memory = next(line for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "kernel": platform.release(),
            "processors": os.cpu_count(), "memory_mib": int(memory.split()[1]) // 1024,
            "load_before": os.getloadavg()[0],
            "postgres": subprocess.run(["sh", "-c", "ls -d /usr/lib/postgresql/*/bin"], capture_output=True,
                                       text=True).stdout.split()}


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"
    return f"{text} {unit}".strip()


def print_table(rows: list[Row]) -> None:
    header = ["row", "pgtwig", "p99", "against", "median", "p99", "ratio", "target", "n", ""]
    lines = [header]
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        lines.append([row.what, _number(row.value, row.unit), _number(row.value_p99, ""), row.against,
                      _number(row.base, row.unit), _number(row.base_p99, ""), f"{row.ratio:.2f}" if row.ratio else "",
                      row.target, str(row.n or ""), verdict])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) if i in (0, 3) else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())
    for row in rows:
        if row.note:
            print(f"  {row.what}: {row.note}")


def write_json(path: pathlib.Path, facts: dict, rows: list[Row], failures: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": facts, "rows": [asdict(row) for row in rows], "not_measured": failures}, indent=1)
                    + "\n")
