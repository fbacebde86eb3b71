"""Several callers at once: one wins, the others hear why not, and the world stays in one piece."""

import collections
import subprocess

from harness.case import SystemTest
from harness.installation import eventually


class Races(SystemTest):
    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")

    def at_once(self, *commands: list[str]) -> list[subprocess.Popen]:
        started = [self.pgtwig.start(*command) for command in commands]
        for one in started:
            one.out, one.err = one.communicate(timeout=240)
        return started

    def test_of_two_creates_of_one_name_one_wins(self) -> None:
        for number in range(5):
            name = f"demo/twin{number}"
            statuses = sorted(one.returncode for one in self.at_once(*[["branch", "create", name]] * 4))
            self.assertEqual(statuses, [0, 4, 4, 4])
        self.pgtwig.assert_nothing_leaked()

    def test_of_two_projects_of_one_name_one_wins(self) -> None:
        self.assertEqual(sorted(one.returncode for one in self.at_once(*[["project", "create", "twin"]] * 2)), [0, 4])
        self.pgtwig.assert_nothing_leaked()

    def test_a_child_of_a_deleted_parent_is_never_listed(self) -> None:
        for number in range(5):
            parent, child = f"demo/parent{number}", f"demo/child{number}"
            self.run_pgtwig("branch", "create", parent)
            create, delete = self.at_once(["branch", "create", child, "--from", parent], ["branch", "delete", parent])
            branches = self.pgtwig.branches()
            self.assertIn((create.returncode, delete.returncode), [(0, 5), (3, 0), (5, 0)], create.err + delete.err)
            self.assertEqual(child in branches, create.returncode == 0)
            self.assertEqual(parent in branches, delete.returncode != 0)
            if child in branches:
                self.assertEqual(self.sql(child, "SELECT count(*) FROM t"), "1000")
        self.pgtwig.assert_nothing_leaked()

    def test_a_project_deleted_during_creates_takes_all_with_it(self) -> None:
        creates = [["branch", "create", f"demo/b{number}"] for number in range(6)]
        results = self.at_once(*creates, ["project", "delete", "demo", "--force"])
        self.assertIn(results[-1].returncode, (0, 5), results[-1].err)
        for result in results[:-1]:
            self.assertIn(result.returncode, (0, 3, 5), result.err)
        if results[-1].returncode == 0:
            late = [name for name in self.pgtwig.branches()]
            self.assertEqual(late, [])
        self.pgtwig.assert_nothing_leaked()

    def test_resets_of_one_branch_go_one_after_the_other(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        url = self.pgtwig.url("demo/dev")
        results = self.at_once(*[["branch", "reset", "demo/dev"]] * 4)
        self.assertEqual({one.returncode for one in results}, {0}, [one.err for one in results])
        self.assertEqual(self.pgtwig.url("demo/dev"), url)
        self.assertEqual(self.sql("demo/dev", "SELECT count(*) FROM t"), "1000")
        self.pgtwig.assert_nothing_leaked()

    def test_stop_start_and_reset_at_once_end_in_a_whole_branch(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        for _ in range(3):
            results = self.at_once(["stop", "demo/dev"], ["start", "demo/dev"], ["branch", "reset", "demo/dev"],
                                   ["restart", "demo/dev"])
            self.assertTrue({one.returncode for one in results} <= {0, 5}, [one.err for one in results])
        self.run_pgtwig("start", "demo/dev")
        self.assertEqual(self.sql("demo/dev", "SELECT count(*) FROM t"), "1000")
        self.pgtwig.assert_nothing_leaked()

    def test_a_hundred_creates_at_once_are_all_right_in_bounded_memory(self) -> None:
        names = [f"demo/n{number}" for number in range(100)]
        started = [self.pgtwig.start("branch", "create", name) for name in names]
        failures = collections.Counter()
        for one in started:
            _, said = one.communicate(timeout=240)
            if one.returncode != 0:
                failures[said.strip().splitlines()[-2:][0] if said else "nothing said"] += 1
        self.assertEqual(failures, collections.Counter())
        branches = self.pgtwig.branches()
        self.assertEqual(len(branches), 101)
        self.assertEqual(len({branch["port"] for branch in branches.values()}), 101)
        self.assertEqual({branch["state"] for branch in branches.values()}, {"running"})
        for name in names[::10]:
            self.assertEqual(self.sql(name, "SELECT count(*) FROM t"), "1000")
        with open(f"/proc/{self.pgtwig.daemon_pid()}/status") as status:
            resident = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        self.assertLess(resident, 128 * 1024, "KiB resident at most")
        self.run_pgtwig("project", "delete", "demo", "--force")
        self.pgtwig.assert_nothing_leaked(60)

    def test_readers_never_wait_for_an_operation(self) -> None:
        gate = self.pgtwig.base.path / "gate"
        self.run_pgtwig("daemon", "stop")
        self.pgtwig.start_daemon({"PGTWIG_FAULT": f"branch_create.clone_volume=pause:{gate}"})
        self.addCleanup(gate.unlink, missing_ok=True)  # also when the test fails: the daemon waits for it
        create = self.pgtwig.start("branch", "create", "demo/slow")
        eventually(gate.exists, "the create stands at its gate", 30)
        self.assertEqual(list(self.pgtwig.branches()), ["demo/main"])
        self.assertEqual(self.sql("demo/main", "SELECT count(*) FROM t"), "1000")
        self.run_pgtwig("branch", "create", "demo/quick")
        self.run_pgtwig("operation", "list")
        gate.unlink()
        create.communicate(timeout=60)
        self.assertEqual(create.returncode, 0)
        self.assertEqual(set(self.pgtwig.branches()), {"demo/main", "demo/slow", "demo/quick"})
