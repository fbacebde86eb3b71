#!/usr/bin/env python3
"""Removes what tests left behind that were killed before they could tidy up. Exit 1 when there was anything."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import machine


def main() -> int:
    stale = machine.stale_bases()
    for folder in stale:
        print(f"left behind: {folder}: {len(machine.processes_of(folder))} processes, {len(machine.mounts_below(folder))} mounts, "
              f"{len(machine.loop_devices_below(folder))} loop devices")
        machine.remove_folder(folder)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
