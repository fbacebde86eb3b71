"""The daemon dies, or a step fails, at every point of every operation: the operation is then done or undone, no data is lost,
no other instance was touched, and nothing is left over.

The points of an operation are learned from a run that writes them down (PGTWIG_FAULT_LOG), so a new point is tested
as soon as it exists.
"""

import collections
import re
from dataclasses import dataclass
from typing import Callable

from harness import machine
from harness.case import SystemTest
from harness.installation import Installation, Result, eventually, moment_on


@dataclass
class Operation:
    command: list[str]
    # Brings the installation into the state from which the operation is tried, whatever the last trial left.
    prepare: Callable[[Installation], None]
    # Branches whose processes the operation has no business with.
    bystanders: tuple[str, ...] = ("demo/main",)


def ensure_branch(pgtwig: Installation, name: str, *options: str) -> None:
    pgtwig.pgtwig("branch", "create", name, "--if-not-exists", *options)


def ensure_snapshot(pgtwig: Installation, name: str) -> None:
    if pgtwig.pgtwig("snapshot", "get", name, expect=None).status != 0:
        pgtwig.pgtwig("snapshot", "create", name)


def mark(pgtwig: Installation, name: str) -> None:
    """A row of the branch's own, once."""
    pgtwig.sql(name, f"INSERT INTO marks SELECT '{name}' WHERE NOT EXISTS (SELECT FROM marks WHERE mark = '{name}')")


class EveryPoint(SystemTest):
    file_system = "btrfs"

    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE marks (mark text); INSERT INTO marks VALUES ('demo/main')")

    # What the world looks like --------------------------------------------------------------------------------------

    def world(self) -> dict:
        """Everything that a user could tell apart: names, parents, states, ports, and what is in the tables."""
        world = {}
        for name, branch in self.pgtwig.branches().items():
            marks = None
            if branch["state"] == "running":
                marks = self.sql(name, "SELECT string_agg(mark, ',' ORDER BY mark) FROM marks") if name.startswith("demo/") else ""
            world[name] = (branch["parent"], branch["state"], branch["port"], branch["durability"], marks)
        for snapshot in self.pgtwig.json("snapshot", "list", "--all")["snapshots"]:
            name = re.sub("before-restore-.*", "before-restore", snapshot["name"])  # the rest of it is the time
            world[name] = (snapshot["message"], snapshot["kind"], sorted(snapshot["branches"]))
        return world

    def pids(self, names: tuple[str, ...]) -> dict[str, int]:
        branches = self.pgtwig.branches()
        return {name: branches[name]["pid"] for name in names}

    def settle(self) -> None:
        self.pgtwig.assert_nothing_leaked()

    # One operation, every point -------------------------------------------------------------------------------------

    def restart_daemon(self, environment: dict[str, str] | None = None) -> None:
        if self.pgtwig.daemon_pid():
            # It may be on its way to a fault point at this very moment: then it ends without being told to.
            self.run_pgtwig("daemon", "stop", expect=None)
            try:
                eventually(lambda: self.pgtwig.daemon_pid() is None, "the daemon ended", 20)
            except AssertionError as still_there:
                pid = self.pgtwig.daemon_pid()
                raise AssertionError(f"{still_there}\n{machine.threads_of(pid) if pid else 'now it did'}") from None
        self.pgtwig.start_daemon(environment)

    def passages(self) -> collections.Counter:
        log = self.pgtwig.base.path / "points"
        return collections.Counter(log.read_text().split() if log.exists() else [])

    def learn(self, operation: Operation) -> list[str]:
        """The operation's points as PGTWIG_FAULT names them: NAME:N where a daemon's start passes some, too."""
        operation.prepare(self.pgtwig)
        self.settle()
        self.restart_daemon({"PGTWIG_FAULT_LOG": str(self.pgtwig.base.path / "points")})
        self.settle()
        before = self.passages()
        self.run_pgtwig(*operation.command)
        self.settle()
        after = self.passages()
        self.restart_daemon()
        return [f"{name}:{number}" for name in after for number in range(before[name] + 1, after[name] + 1)]

    def try_everywhere(self, operation: Operation, how: str) -> None:
        points = self.learn(operation)
        self.assertTrue(points, "the operation passes no fault point")
        print(f"\n{len(points)} points: {' '.join(points)}", flush=True)
        done = self.world()
        operation.prepare(self.pgtwig)
        self.settle()
        undone = self.world()
        self.assertNotEqual(done, undone, "the operation's effect can't be seen")
        for point in points:
            with self.subTest(point=point, how=how):
                operation.prepare(self.pgtwig)
                self.settle()
                self.assertEqual(self.world(), undone)
                pids = self.pids(operation.bystanders)
                self.restart_daemon({"PGTWIG_FAULT": f"{point}={how}"})
                result = self.run_pgtwig(*operation.command, expect=None)
                self.judge(result, how, done, undone)
                self.assertEqual(self.pids(operation.bystanders), pids, "a bystander was restarted")

    def judge(self, result: Result, how: str, done: dict, undone: dict) -> None:
        self.assertIn(result.status, (0, 2), f"{result}")
        if result.status != 0:
            self.assertIn("hint: ", result.err, f"no hint in {result}")
        if how == "fail":
            # The daemon lives, so it has to be right at once; what it could not remove, its successor does.
            self.assertEqual(self.world(), done if result.status == 0 else undone, f"after {result}")
        self.restart_daemon()
        seen = None

        def is_done_or_undone() -> bool:
            nonlocal seen
            try:
                seen = self.world()
            except AssertionError as not_yet:  # an instance that the new daemon has just started lets nobody in yet
                seen = not_yet
            return seen in (done, undone)

        try:
            eventually(is_done_or_undone, "done or undone", 30)
        except AssertionError:
            self.fail(f"neither done nor undone:\n  is     {seen}\n  done   {done}\n  undone {undone}\nafter {result}")
        if result.status == 0:
            self.assertEqual(seen, done, "the caller was told it is done")
        self.settle()

    # The operations -------------------------------------------------------------------------------------------------

    def create(self) -> Operation:
        port = str(self.pgtwig.ports.first + 50)
        return Operation(["branch", "create", "demo/new", "--port", port],
                         lambda pgtwig: pgtwig.pgtwig("branch", "delete", "demo/new", "--if-exists"))

    def reset(self) -> Operation:
        def prepare(pgtwig: Installation) -> None:
            ensure_branch(pgtwig, "demo/dev")
            mark(pgtwig, "demo/dev")

        return Operation(["branch", "reset", "demo/dev"], prepare)

    def delete(self) -> Operation:
        port = str(self.pgtwig.ports.first + 51)
        return Operation(["branch", "delete", "demo/old"], lambda pgtwig: ensure_branch(pgtwig, "demo/old", "--port", port))

    def cascade(self) -> Operation:
        first = self.pgtwig.ports.first + 60

        def prepare(pgtwig: Installation) -> None:
            ensure_branch(pgtwig, "demo/sibling", "--port", str(first))
            ensure_branch(pgtwig, "demo/a", "--port", str(first + 1))
            ensure_branch(pgtwig, "demo/b", "--from", "demo/a", "--port", str(first + 2))
            ensure_branch(pgtwig, "demo/c", "--from", "demo/b", "--port", str(first + 3), "--no-start")
            pgtwig.pgtwig("stop", "demo/c")

        return Operation(["branch", "delete", "demo/a", "--cascade"], prepare, ("demo/main", "demo/sibling"))

    def snapshot(self) -> Operation:
        return Operation(["snapshot", "create", "demo/main", "v1", "-m", "the first"],
                         lambda pgtwig: pgtwig.pgtwig("snapshot", "delete", "demo/main@v1", "--if-exists"))

    def snapshot_delete(self) -> Operation:
        return Operation(["snapshot", "delete", "demo/main@v1"], lambda pgtwig: ensure_snapshot(pgtwig, "demo/main@v1"))

    def create_from_snapshot(self) -> Operation:
        port = str(self.pgtwig.ports.first + 53)

        def prepare(pgtwig: Installation) -> None:
            ensure_snapshot(pgtwig, "demo/main@v1")
            pgtwig.pgtwig("branch", "delete", "demo/new", "--if-exists")

        return Operation(["branch", "create", "demo/new", "--from", "demo/main@v1", "--port", port], prepare)

    def reset_to_snapshot(self) -> Operation:
        def prepare(pgtwig: Installation) -> None:
            ensure_snapshot(pgtwig, "demo/main@v1")
            ensure_branch(pgtwig, "demo/dev")
            mark(pgtwig, "demo/dev")

        return Operation(["branch", "reset", "demo/dev", "--from", "demo/main@v1"], prepare)

    def delete_with_snapshots(self) -> Operation:
        port = str(self.pgtwig.ports.first + 54)

        def prepare(pgtwig: Installation) -> None:
            ensure_branch(pgtwig, "demo/old", "--port", port)
            ensure_snapshot(pgtwig, "demo/old@v1")
            ensure_snapshot(pgtwig, "demo/old@v2")

        return Operation(["branch", "delete", "demo/old", "--cascade"], prepare)

    def create_in_the_past(self) -> Operation:
        port = str(self.pgtwig.ports.first + 55)
        ensure_snapshot(self.pgtwig, "demo/main@v1")
        self.sql("demo/main", "INSERT INTO marks VALUES ('then')")
        then = moment_on(self.pgtwig, "demo/main")
        self.sql("demo/main", "INSERT INTO marks VALUES ('later')")
        return Operation(["branch", "create", "demo/new", "--at", then, "--port", port],
                         lambda pgtwig: pgtwig.pgtwig("branch", "delete", "demo/new", "--if-exists"))

    def restore(self) -> Operation:
        ensure_snapshot(self.pgtwig, "demo/main@v1")
        ensure_branch(self.pgtwig, "demo/dev")
        then = moment_on(self.pgtwig, "demo/dev")

        def prepare(pgtwig: Installation) -> None:
            mark(pgtwig, "demo/dev")
            for snapshot in pgtwig.json("snapshot", "list", "demo/dev")["snapshots"]:
                pgtwig.pgtwig("snapshot", "delete", snapshot["name"])

        return Operation(["branch", "restore", "demo/dev", "--at", then], prepare)

    def rename(self) -> Operation:
        def prepare(pgtwig: Installation) -> None:
            if "demo/renamed" in pgtwig.branches():
                pgtwig.pgtwig("branch", "rename", "demo/renamed", "dev")
            ensure_branch(pgtwig, "demo/dev")

        return Operation(["branch", "rename", "demo/dev", "renamed"], prepare)

    def stop(self) -> Operation:
        def prepare(pgtwig: Installation) -> None:
            ensure_branch(pgtwig, "demo/dev")
            pgtwig.pgtwig("start", "demo/dev")

        return Operation(["stop", "demo/dev"], prepare)

    def start(self) -> Operation:
        def prepare(pgtwig: Installation) -> None:
            ensure_branch(pgtwig, "demo/dev")
            pgtwig.pgtwig("stop", "demo/dev")

        return Operation(["start", "demo/dev"], prepare)

    def suspend(self) -> Operation:
        def prepare(pgtwig: Installation) -> None:
            ensure_branch(pgtwig, "demo/dev")
            pgtwig.pgtwig("start", "demo/dev")

        return Operation(["branch", "suspend", "demo/dev"], prepare)

    def wake(self) -> Operation:
        def prepare(pgtwig: Installation) -> None:
            ensure_branch(pgtwig, "demo/dev")
            pgtwig.pgtwig("branch", "suspend", "demo/dev")

        return Operation(["psql", "demo/dev", "--", "-c", "SELECT"], prepare)

    def project_create(self) -> Operation:
        port = str(self.pgtwig.ports.first + 52)
        return Operation(["project", "create", "second", "--port", port],
                         lambda pgtwig: pgtwig.pgtwig("project", "delete", "second", "--force", "--if-exists"))

    def project_delete(self) -> Operation:
        first = self.pgtwig.ports.first + 70

        def prepare(pgtwig: Installation) -> None:
            if "second/main" not in pgtwig.branches():
                pgtwig.pgtwig("project", "create", "second", "--port", str(first))
            ensure_branch(pgtwig, "second/dev", "--port", str(first + 1))

        return Operation(["project", "delete", "second", "--force"], prepare)

    def test_create_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.create(), "kill")

    def test_create_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.create(), "fail")

    def test_reset_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.reset(), "kill")

    def test_reset_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.reset(), "fail")

    def test_delete_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.delete(), "kill")

    def test_delete_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.delete(), "fail")

    def test_cascade_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.cascade(), "kill")

    def test_snapshot_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.snapshot(), "kill")

    def test_snapshot_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.snapshot(), "fail")

    def test_snapshot_delete_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.snapshot_delete(), "kill")

    def test_create_from_a_snapshot_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.create_from_snapshot(), "kill")

    def test_create_from_a_snapshot_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.create_from_snapshot(), "fail")

    def test_reset_to_a_snapshot_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.reset_to_snapshot(), "kill")

    def test_delete_with_snapshots_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.delete_with_snapshots(), "kill")

    def test_create_in_the_past_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.create_in_the_past(), "kill")

    def test_create_in_the_past_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.create_in_the_past(), "fail")

    def test_restore_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.restore(), "kill")

    def test_restore_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.restore(), "fail")

    def test_rename_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.rename(), "kill")

    def test_stop_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.stop(), "kill")

    def test_start_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.start(), "kill")

    def test_suspend_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.suspend(), "kill")

    def test_suspend_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.suspend(), "fail")

    def test_wake_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.wake(), "kill")

    def test_wake_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.wake(), "fail")

    def test_project_create_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.project_create(), "kill")

    def test_project_create_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.project_create(), "fail")

    def test_project_delete_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.project_delete(), "kill")
