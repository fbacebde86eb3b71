#!/usr/bin/env python3
"""Runs one scenario file on one file system, with one runtime; README.md beside it says how a file reads. Called by ctest."""

import argparse
import json
import pathlib
import re
import signal
import sys
import time
from dataclasses import dataclass, field

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import machine
from harness.installation import Installation, Result, Unsupported, postgres_programs

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
PATIENCE = 30 * machine.PATIENCE  # seconds for a `~` step

PATTERNS = {
    "ms": r"\d+",
    "port": r"\d{4,5}",
    "pid": r"\d+",
    "number": r"\d+",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    "uuid": r"[0-9a-f]{32}",
    "size": r"\d+(?:\.\d+)? (?:B|KiB|MiB|GiB|TiB)",
    "any": r".*",
}
PLACEHOLDER = re.compile(r"<(" + "|".join(PATTERNS) + r")(?::(\w+))?>|\{(\w+)\}")
BARE_JSON_PLACEHOLDER = re.compile(r'(?<!")(<(?:' + "|".join(PATTERNS) + r')(?::\w+)?>)(?!")')


@dataclass
class Step:
    line: int
    kind: str  # "$", "~", "sql"
    command: str
    branch: str = ""
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    json: list[str] = field(default_factory=list)
    status: int = 0


@dataclass
class Scenario:
    title: str
    headers: dict[str, list[str]]
    steps: list[Step]

    def header(self, name: str, default: str) -> str:
        return self.headers.get(name, [default])[0]


class Mismatch(Exception):
    pass


def parse(path: pathlib.Path) -> Scenario:
    lines = path.read_text().splitlines()
    headers: dict[str, list[str]] = {}
    number = 1
    while number < len(lines) and lines[number].strip():
        name, _, value = lines[number].partition(":")
        if name not in ("fs", "runtime", "user", "env", "config", "timeout", "needs"):
            sys.exit(f"{path}:{number + 1}: unknown header {name!r}")
        headers.setdefault(name, []).append(value.strip())
        number += 1
    steps: list[Step] = []
    for index in range(number, len(lines)):
        _parse_line(path, index + 1, lines[index], steps)
    return Scenario(lines[0], headers, steps)


def _parse_line(path: pathlib.Path, number: int, line: str, steps: list[Step]) -> None:
    sql = re.match(r"sql (\S+): (.*)", line)
    if line.startswith(("$ ", "~ ")):
        steps.append(Step(number, line[0], line[2:]))
    elif sql:
        steps.append(Step(number, "sql", sql[2], branch=sql[1]))
    elif not line.strip() or line.startswith("#"):
        return
    elif not steps:
        sys.exit(f"{path}:{number}: output before the first command")
    else:
        text = line.removeprefix("    ")
        step = steps[-1]
        if text.startswith("! "):
            step.err.append(text[2:])
        elif text.startswith("json: "):
            step.json.append(text[6:])
        elif re.fullmatch(r"exit \d+", text):
            step.status = int(text[5:])
        else:
            step.out.append(text)


class Runner:
    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.variables = {"root": str(installation.root), "first_port": str(installation.ports.first),
                          "own_version": postgres_programs().parent.name, "runtime": installation.runtime}

    def run(self, step: Step) -> None:
        if step.kind != "~":
            self._check(step, self._execute(step))
            return
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._check(step, self._execute(step))
                return
            except Mismatch:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _execute(self, step: Step) -> Result:
        if step.kind == "sql":
            branch = self._fill(step.branch)
            options = "-- -XAtq -v ON_ERROR_STOP=1 -c"
            return self.installation.shell(f"pgtwig psql {branch} {options} \"$SQL\"", {"SQL": self._fill(step.command)})
        return self.installation.shell(step.command, self.variables)

    def _fill(self, text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: self.variables.get(match[1], match[0]), text)

    def _check(self, step: Step, result: Result) -> None:
        if result.status != step.status:
            raise Mismatch(f"exit {result.status}, expected {step.status}", result)
        if step.json:
            for text in step.json:
                self._check_json(text, result)
        else:
            self._check_lines("standard output", step.out, result.out, result)
        if step.err:
            self._check_lines("standard error", step.err, result.err, result)

    def _check_json(self, text: str, result: Result) -> None:
        expected = json.loads(BARE_JSON_PLACEHOLDER.sub(r'"\1"', text))
        try:
            actual = json.loads(result.out)
        except ValueError as error:
            raise Mismatch(f"not JSON: {error}", result) from None
        difference = self._difference(expected, actual, "")
        if difference:
            raise Mismatch(difference, result)

    def _difference(self, expected, actual, path: str) -> str:
        if isinstance(expected, dict):
            if not isinstance(actual, dict):
                return f"{path or 'the whole'} is no object"
            for key, value in expected.items():
                if key not in actual:
                    return f"{path}.{key} is missing"
                difference = self._difference(value, actual[key], f"{path}.{key}")
                if difference:
                    return difference
            return ""
        if isinstance(expected, list):
            if not isinstance(actual, list) or len(actual) != len(expected):
                return f"{path} is {actual!r}, expected {len(expected)} elements"
            return next((text for index, (one, other) in enumerate(zip(expected, actual))
                         if (text := self._difference(one, other, f"{path}[{index}]"))), "")
        if isinstance(expected, str) and PLACEHOLDER.search(expected):
            text = actual if isinstance(actual, str) else json.dumps(actual)
            return "" if self._matches(expected, text) else f"{path} is {actual!r}, expected {expected!r}"
        return "" if expected == actual else f"{path} is {actual!r}, expected {expected!r}"

    def _matches(self, expected: str, actual: str) -> bool:
        names: list[str] = []
        parts: list[str] = []
        end = 0
        for match in PLACEHOLDER.finditer(expected):
            parts.append(re.escape(expected[end:match.start()]))
            if match[3]:
                parts.append(re.escape(self.variables.get(match[3], match[0])))
            elif match[2]:
                names.append(match[2])
                parts.append(f"({PATTERNS[match[1]]})")
            else:
                parts.append(f"(?:{PATTERNS[match[1]]})")
            end = match.end()
        parts.append(re.escape(expected[end:]))
        found = re.fullmatch("".join(parts), actual)
        if not found:
            return False
        self.variables.update(zip(names, found.groups()))
        return True

    def _check_lines(self, what: str, expected: list[str], actual_text: str, result: Result) -> None:
        actual = actual_text.splitlines()
        if not self._lines_match(expected, [line.rstrip() for line in actual]):
            raise Mismatch(f"{what} differs; expected:\n" + "\n".join(f"    {line}" for line in expected), result)

    def _lines_match(self, expected: list[str], actual: list[str]) -> bool:
        if not expected:
            return not actual
        if expected[0] == "...":
            return any(self._lines_match(expected[1:], actual[skip:]) for skip in range(len(actual) + 1))
        return bool(actual) and self._matches(expected[0], actual[0]) and self._lines_match(expected[1:], actual[1:])


def run_file(path: pathlib.Path, fs: str, runtime: str, keep: bool) -> int:
    scenario = parse(path)
    environment = dict(entry.split("=", 1) for entry in scenario.headers.get("env", []))
    config = scenario.headers.get("config", [])
    servers = tuple(int(need.removeprefix("postgres-")) for need in scenario.header("needs", "").split())
    try:
        installation = Installation(fs=fs, user=scenario.header("user", "root"), config="\n".join(config), servers=servers,
                                    runtime=runtime)
    except Unsupported as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    installation.environment |= environment

    def out_of_time(*_) -> None:
        raise TimeoutError("not finished in time")

    signal.signal(signal.SIGALRM, out_of_time)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(int(scenario.header("timeout", "240")) * machine.PATIENCE)
    failed = False
    step = None
    begun = time.monotonic()
    try:
        runner = Runner(installation)
        for step in scenario.steps:
            runner.run(step)
        step = None
        installation.assert_nothing_leaked()
    except Mismatch as mismatch:
        failed = True
        print(f"{path}:{step.line}: {mismatch.args[0]}\nbut it was:\n{mismatch.args[1]}")
    except Exception as error:
        failed = True
        print(f"{path}:{step.line if step else 'end'}: {type(error).__name__}: {error}")
    finally:
        signal.alarm(0)
        if failed:
            print(installation.log_tail())
        if keep:
            input(f"kept in {installation.base.path}; Enter removes it ")
        survivors = installation.tear_down()
    if survivors and not failed:
        failed = True
        print("still running after `pgtwig daemon stop --stop-all`:\n  " + "\n  ".join(survivors))
    print(f"{'FAILED' if failed else 'ok'}: {scenario.title} ({fs}, {runtime}, {len(scenario.steps)} steps, "
          f"{time.monotonic() - begun:.1f} s)")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--fs", help="default: each that the file names")
    parser.add_argument("--runtime", default="native", help="what runs the branches: native, docker, podman")
    parser.add_argument("--keep", action="store_true", help="wait for Enter before everything is removed")
    options = parser.parse_args()
    kinds = [options.fs] if options.fs else parse(options.file).header("fs", "btrfs").split()
    results = [run_file(options.file, kind, options.runtime, options.keep) for kind in kinds]
    return next((result for result in results if result not in (0, SKIPPED)), max(results))


if __name__ == "__main__":
    sys.exit(main())
