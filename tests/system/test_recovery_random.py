"""Numbered rows with their commit times on a tree of branches that is snapshotted, reset, restored and restarted; then recovery to
random moments on random branches: each must hold exactly the rows that were committed at or before the moment.

PGTWIG_SEED repeats a run, PGTWIG_POINTS asks for more than a few moments.
"""

import concurrent.futures
import datetime
import os
import random
import signal
import subprocess
from dataclasses import dataclass, field
from typing import Optional

from harness.case import SystemTest
from harness.installation import eventually, postgres_programs

MICROSECOND = 1
SECOND = 1_000_000


@dataclass
class Body:
    """What a branch holds: own rows, and before them what its source held at a moment. Times are microseconds since 1970."""

    source: Optional["Body"]
    source_time: int
    began: int
    rows: list[tuple[int, int]] = field(default_factory=list)

    def at(self, time: int) -> set[int]:
        rows = {number for committed, number in self.rows if committed <= time}
        return rows | (self.source.at(min(time, self.source_time)) if self.source else set())


@dataclass
class Branch:
    name: str
    bodies: list[Body]
    unsure: list[tuple[int, int]] = field(default_factory=list)  # while an operation exchanged its body

    def body_at(self, time: int) -> Body:
        past = [body for body in self.bodies if body.began <= time]
        return past[-1] if past else self.bodies[0]

    def at(self, time: int) -> set[int]:
        return self.body_at(time).at(time)


class Model:
    """The real installation and what it should hold, changed together."""

    def __init__(self, test: SystemTest, seed: int) -> None:
        self.test = test
        self.pgtwig = test.pgtwig
        self.random = random.Random(seed)
        self.next_number = 1
        self.next_name = 1
        self.branches: dict[str, Branch] = {}
        self.times: list[int] = []  # of commits
        self.log: list[str] = []
        self.pgtwig.pgtwig("project", "create", "demo", "--set", "track_commit_timestamp=on")
        self.pgtwig.sql("demo/main", "CREATE TABLE numbers (n int)")
        self.branches["demo/main"] = Branch("demo/main", [Body(None, 0, 0)])
        self.pgtwig.pgtwig("snapshot", "create", "demo/main", "first")
        self.first = self.now()

    def now(self) -> int:
        return int(self.pgtwig.sql("demo/main", "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"))

    def note(self, text: str) -> None:
        self.log.append(text)

    def any_branch(self) -> Branch:
        return self.random.choice(list(self.branches.values()))

    def any_moment(self, branch: Branch) -> int:
        """Near a commit as often as not: just before it, at it, just after it."""
        end = self.now()
        while True:
            if self.times and self.random.random() < 0.7:
                time = self.random.choice(self.times) + self.random.choice((-MICROSECOND, 0, MICROSECOND))
            else:
                time = self.random.randrange(self.first, end)
            if time < self.first or time > end or any(begin <= time <= finish for begin, finish in branch.unsure):
                continue
            return time

    # What can happen to it --------------------------------------------------------------------------------------------

    def write(self) -> None:
        branch = self.any_branch()
        first, count = self.next_number, self.random.randrange(1, 5)
        self.next_number += count
        statements = []
        for number in range(first, self.next_number):
            statements.append(f"INSERT INTO numbers VALUES ({number});")
            if self.random.random() < 0.5:
                statements.append(f"SELECT pg_sleep({self.random.choice((0.001, 0.02, 0.05))});")
        if self.random.random() < 0.2:
            statements.append("SELECT pg_switch_wal();")
        statements.append("SELECT n, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM numbers "
                          f"WHERE n >= {first} AND n < {self.next_number};")
        done = subprocess.run([str(postgres_programs() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.pgtwig.url(branch.name)],
                              input="\n".join(statements), text=True, capture_output=True, timeout=60)
        self.test.assertEqual(done.returncode, 0, done.stderr)
        committed = [tuple(map(int, line.split("|"))) for line in done.stdout.splitlines() if line.count("|") == 1]
        self.test.assertEqual(len(committed), count, done.stdout)
        branch.bodies[-1].rows += [(time, number) for number, time in committed]
        self.times += [time for _, time in committed]
        self.note(f"write {branch.name} {first}..{self.next_number - 1}")

    def snapshot(self) -> None:
        branch = self.any_branch()
        self.pgtwig.pgtwig("snapshot", "create", branch.name)
        self.note(f"snapshot {branch.name}")

    def new_name(self) -> str:
        self.next_name += 1
        return f"demo/b{self.next_name}"

    def exchange(self, branch: Branch, source: Body, source_time: int | None, *command: str) -> None:
        begin = self.now()
        self.pgtwig.pgtwig(*command)
        end = self.now()
        branch.unsure.append((begin, end))
        branch.bodies.append(Body(source, begin if source_time is None else source_time, end))
        self.note(" ".join(command))

    def create(self) -> None:
        source = self.any_branch()
        branch = Branch(self.new_name(), [])
        self.exchange(branch, source.bodies[-1], None, "branch", "create", branch.name, "--from", source.name)
        self.branches[branch.name] = branch

    def create_in_the_past(self) -> None:
        source = self.any_branch()
        time = self.any_moment(source)
        branch = Branch(self.new_name(), [])
        self.exchange(branch, source.body_at(time), time, "branch", "create", branch.name, "--from", source.name, "--at",
                      rfc3339(time))
        self.branches[branch.name] = branch

    def reset(self) -> None:
        branch, source = self.any_branch(), self.any_branch()
        if branch.name == "demo/main" or branch is source:
            return
        if self.random.random() < 0.5:
            self.exchange(branch, source.bodies[-1], None, "branch", "reset", branch.name, "--from", source.name)
        else:
            time = self.any_moment(source)
            self.exchange(branch, source.body_at(time), time, "branch", "reset", branch.name, "--from", source.name, "--at",
                          rfc3339(time))

    def restore(self) -> None:
        branch = self.any_branch()
        time = self.any_moment(branch)
        self.exchange(branch, branch.body_at(time), time, "branch", "restore", branch.name, "--at", rfc3339(time))

    def restart(self) -> None:
        branch = self.any_branch()
        how = self.random.choice(("restart", "stop", "kill", "daemon"))
        if how == "restart":
            self.pgtwig.pgtwig("restart", branch.name)
        elif how == "stop":
            self.pgtwig.pgtwig("stop", branch.name)
            self.pgtwig.pgtwig("start", branch.name)
        elif how == "kill":
            os.kill(self.pgtwig.branches()[branch.name]["pid"], signal.SIGKILL)
            eventually(lambda: self.pgtwig.branches()[branch.name]["state"] == "failed", "the postmaster is gone")
            self.pgtwig.pgtwig("start", branch.name)
        else:
            self.pgtwig.pgtwig("daemon", "start")  # the step before may have killed it, too
            self.pgtwig.kill_daemon()
        self.note(f"{how} {branch.name}")

    def step(self) -> None:
        actions = {self.write: 12, self.snapshot: 2, self.create: 2, self.create_in_the_past: 2, self.reset: 1, self.restore: 1,
                   self.restart: 2}
        if len(self.branches) > 7:
            actions |= {self.create: 0, self.create_in_the_past: 0}
        self.random.choices(list(actions), list(actions.values()))[0]()


def rfc3339(microseconds: int) -> str:
    seconds, fraction = divmod(microseconds, SECOND)
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{fraction:06}Z"


class RandomPoints(SystemTest):
    size = 16 << 30

    def mismatch(self, model: Model, number: int, branch: Branch, time: int) -> str | None:
        name = f"demo/point{number}"
        made = model.pgtwig.pgtwig("branch", "create", name, "--from", branch.name, "--at", rfc3339(time), expect=None)
        if made.status != 0:
            return f"{branch.name} at {rfc3339(time)} was refused: {made}"
        seen = {int(n) for n in model.pgtwig.sql(name, "SELECT n FROM numbers").split()}
        expected = branch.at(time)
        # What it writes and archives afterwards is its own business.
        model.pgtwig.sql(name, "INSERT INTO numbers VALUES (-1)")
        model.pgtwig.pgtwig("branch", "delete", name, "--cascade")
        if seen == expected:
            return None
        return f"{branch.name} at {rfc3339(time)}: too many {sorted(seen - expected)}, missing {sorted(expected - seen)}"

    def recover_to_random_points(self, seed: int, steps: int, points: int) -> None:
        print(f"\nPGTWIG_SEED={seed}, {steps} steps, {points} points", flush=True)
        model = Model(self, seed)
        try:
            for _ in range(steps):
                model.step()
            chosen = []
            for number in range(points):
                branch = model.any_branch()
                chosen.append((number, branch, model.any_moment(branch)))
            # Two at once: they must not get into each other's way.
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                found = list(pool.map(lambda point: self.mismatch(model, *point), chosen))
        except BaseException:
            print("\n".join(model.log))
            raise
        mismatches = [text for text in found if text]
        if mismatches:
            print("\n".join(model.log))
        self.assertEqual(mismatches, [], f"PGTWIG_SEED={seed}")
        for problem in self.pgtwig.json("wal", "verify")["problems"]:
            self.fail(f"wal verify: {problem}")
        self.pgtwig.assert_nothing_leaked()

    def test_every_random_moment_has_exactly_the_rows_of_then(self) -> None:
        points = int(os.environ.get("PGTWIG_POINTS", "20"))
        seed = int(os.environ.get("PGTWIG_SEED", random.SystemRandom().randrange(1 << 32)))
        if points > 20:
            signal.alarm(60 + points * 10)
        self.recover_to_random_points(seed, steps=40 + points // 4, points=points)
