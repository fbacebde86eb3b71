#!/usr/bin/env python3
"""What `make lab` runs in the guest: the tests that need a real ZFS. One line each, the output of those that fail, a summary; exit 1
when any did. suite.py REGEX runs those whose names match."""

import os
import pathlib
import re
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path("/host/build")
SKIPPED = 77
SECONDS = 600  # for one; emulated, everything takes some ten times as long as elsewhere

# Of the scenarios: what tells a driver from another.
SCENARIOS = ("life_cycle", "isolation", "reset", "snapshots", "snapshot_life", "recovery", "wal", "by_hand", "state_rebuild", "zfs_pools")


def commands() -> dict:
    found = {"contract.storage": [str(BUILD / "tests/contract_storage"), "--gtest_brief=1", "--gtest_filter=*zfs*:*Zfs*"]}
    for name in SCENARIOS:
        found[f"scenario.{name}"] = [str(TESTS / "scenario/run.py"), str(TESTS / f"scenario/{name}.scenario"), "--fs", "zfs"]
    for file in sorted((TESTS / "lab").glob("guest/test_*.py")):
        for test in re.findall(r"^    def (test_\w+)", file.read_text(), re.M):
            found[f"{file.stem.removeprefix('test_')}.{test.removeprefix('test_')}"] = [str(TESTS / "harness/run_test.py"), str(file), test]
    return found


def main() -> int:
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    environment = {**os.environ, "PGTWIG_BINARY": str(BUILD / "pgtwig"), "PYTHONDONTWRITEBYTECODE": "1", "PGTWIG_TEST_PATIENCE": "6"}
    failed = []
    passed = 0
    for name, command in commands().items():
        if not wanted.search(name):
            continue
        begun = time.monotonic()
        program = [sys.executable, *command] if command[0].endswith(".py") else command
        try:
            done = subprocess.run(program, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", timeout=SECONDS)
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as expired:
            status, output = 124, (expired.stdout or b"").decode(errors="replace")
        word = {0: "ok", SKIPPED: "skipped"}.get(status, "FAILED")
        print(f"{name:60} {word:8} {time.monotonic() - begun:6.1f} s", flush=True)
        if status not in (0, SKIPPED):
            print(output[-20000:], flush=True)
            failed.append(name)
        elif status == SKIPPED:
            print(output, flush=True)
        else:
            passed += 1
    print(f"{passed} passed, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
