#!/usr/bin/env python3
"""with_engine.py docker|podman PROGRAM...: runs the program with a container engine of its own. Exit 77 when there can be none."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from harness import containers, machine
from harness.installation import postgres_programs

SKIPPED = 77
TIME_LIMIT = 270  # seconds; below ctest's own, which would leave no time to tidy up


def main() -> int:
    name, *program = sys.argv[1:]
    if not machine.is_root():
        print("skipped: needs root")
        return SKIPPED
    base = machine.Base()
    engine = None
    try:
        engine = containers.ENGINES[name](base.path, postgres_programs())
        image = f"postgres:{postgres_programs().parent.name}"
        return subprocess.run(program, timeout=TIME_LIMIT, env=os.environ | engine.environment() | {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PGTWIG_TEST_RUNTIME": name, "PGTWIG_TEST_IMAGE": image}).returncode
    except containers.NotAvailable as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    finally:
        if engine:
            engine.stop()
        base.remove()


if __name__ == "__main__":
    sys.exit(main())
