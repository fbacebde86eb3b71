#!/usr/bin/env python3
"""What `make lab` runs in the guest: tests that need a real ZFS. A line each, the output of those that fail, a summary; exit 1 when any did.

suite.py           what tells most in some minutes: QUICK
suite.py REGEX     all tests whose names match, beyond those too; `.` is every one
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path("/host/build")
SKIPPED = 77
OUT_OF_TIME = 124
SECONDS = 3600  # for one
AT_ONCE = 2  # they wait more than they compute

# Of the scenarios: all but those that are about another file system, and those that fetch a PostgreSQL from the network.
OTHER_SCENARIOS = ("bare_machine", "recovery_versions", "server_versions")
# The contract suite, by its parts, so that they run beside the others.
CONTRACT = ("LifeOfAVolume", "ForkOfAVolume", "UsageOfAVolume", "FailureOfAPool")
QUICK = re.compile(r"^(contract\..*|scenario\.(life_cycle|pools)|zfs\.parents_go_before.*)$")


def commands() -> dict:
    """By name."""
    found = {f"contract.{part}": [str(BUILD / "tests/contract_storage"), "--gtest_brief=1", f"--gtest_filter=*{part}*/zfs"]
             for part in CONTRACT}
    for label, file in (("crash.zfs", TESTS / "crash/test_zfs.py"), ("zfs", TESTS / "system/test_zfs.py")):
        for test in re.findall(r"^    def (test_\w+)", file.read_text(), re.M):
            found[f"{label}.{test.removeprefix('test_')}"] = [str(TESTS / "harness/run_test.py"), str(file), test]
    for file in sorted((TESTS / "scenario").glob("*.scenario")):
        if file.stem not in OTHER_SCENARIOS:
            found[f"scenario.{file.stem}"] = [str(TESTS / "scenario/run.py"), str(file), "--fs", "zfs"]
    return found


def run(name: str, command: list) -> int:
    # Emulated, everything takes some times as long.
    environment = {**os.environ, "PGTWIG_BINARY": str(BUILD / "pgtwig"), "PYTHONDONTWRITEBYTECODE": "1", "PGTWIG_TEST_PATIENCE": "12"}
    program = [sys.executable, *command] if command[0].endswith(".py") else command
    begun = time.monotonic()
    try:
        done = subprocess.run(program, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=SECONDS)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as expired:
        status, output = OUT_OF_TIME, (expired.stdout or b"").decode(errors="replace")
    word = {0: "ok", SKIPPED: "skipped"}.get(status, "FAILED")
    text = f"{name:75} {word:8} {time.monotonic() - begun:6.1f} s\n"
    print(text + ("" if status == 0 else output[-20000:]), end="", flush=True)
    return status


def main() -> int:
    wanted = re.compile(sys.argv[1]).search if len(sys.argv) > 1 else QUICK.match
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running = {name: pool.submit(run, name, command) for name, command in commands().items() if wanted(name)}
        ended = {name: one.result() for name, one in running.items()}
    failed = [name for name, status in ended.items() if status not in (0, SKIPPED)]
    skipped = [name for name, status in ended.items() if status == SKIPPED]
    print(f"{len(ended) - len(failed) - len(skipped)} passed, {len(skipped)} skipped, {len(failed)} failed {' '.join(failed)}", flush=True)
    return 1 if failed or len(ended) == len(skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
