"""Sleep against everything else that is done to a branch at the same time."""

import subprocess

from harness.case import SystemTest


class SleepRaces(SystemTest):
    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
        self.run_pgtwig("branch", "create", "demo/dev")

    def at_once(self, *commands: list[str]) -> list[subprocess.Popen]:
        started = [self.pgtwig.start(*command) for command in commands]
        for one in started:
            one.out, one.err = one.communicate(timeout=240)
        return started

    def operations(self, kind: str) -> int:
        operations = self.pgtwig.json("operation", "list", "--limit", "1000")["operations"]
        return sum(1 for operation in operations if operation["kind"] == kind)

    QUESTION = ["psql", "demo/dev", "--", "-XAtc", "SELECT count(*) FROM t"]

    def test_fifty_who_want_a_branch_that_sleeps_start_it_once(self) -> None:
        self.run_pgtwig("branch", "suspend", "demo/dev")
        results = self.at_once(*[self.QUESTION] * 50)
        self.assertEqual({(one.returncode, one.out) for one in results}, {(0, "1000\n")}, [one.err for one in results])
        self.assertEqual(self.operations("branch wake"), 1)
        self.pgtwig.assert_nothing_leaked()

    def test_many_branches_that_sleep_are_hit_at_once_and_each_is_started_once(self) -> None:
        names = [f"demo/n{number}" for number in range(30)]
        for name in names:
            self.run_pgtwig("branch", "create", name, "--from", "demo/dev", "--durability", "none")
            self.run_pgtwig("branch", "suspend", name)
        results = self.at_once(*[["psql", name, "--", "-XAtc", "SELECT count(*) FROM t"] for name in names * 3])
        self.assertEqual({(one.returncode, one.out) for one in results}, {(0, "1000\n")}, [one.err for one in results])
        self.assertEqual(self.operations("branch wake"), len(names))
        self.pgtwig.assert_nothing_leaked()

    def test_suspends_and_wakes_at_once_end_in_one_of_both(self) -> None:
        for _ in range(5):
            results = self.at_once(self.QUESTION, ["branch", "suspend", "demo/dev"], self.QUESTION,
                                   ["branch", "suspend", "demo/dev"])
            # Who connects while it is being shut down is told so.
            self.assertTrue({one.returncode for one in results} <= {0, 2}, [one.err for one in results])
            self.assertEqual({results[1].returncode, results[3].returncode}, {0})
            self.assertIn(self.pgtwig.branches()["demo/dev"]["state"], ("running", "suspended"))
        self.assertEqual(self.run_pgtwig(*self.QUESTION).out, "1000\n")
        self.pgtwig.assert_nothing_leaked()

    def test_a_reset_of_a_branch_that_is_suspended_meanwhile_loses_neither(self) -> None:
        for _ in range(3):
            results = self.at_once(["branch", "reset", "demo/dev"], ["branch", "suspend", "demo/dev"])
            self.assertEqual({one.returncode for one in results}, {0}, [one.err for one in results])
            self.assertEqual(self.run_pgtwig(*self.QUESTION).out, "1000\n")
        self.pgtwig.assert_nothing_leaked()

    def test_forks_of_a_branch_that_falls_asleep_and_wakes_are_whole(self) -> None:
        for number in range(3):
            child = f"demo/child{number}"
            results = self.at_once(["branch", "create", child, "--from", "demo/dev"], ["branch", "suspend", "demo/dev"],
                                   self.QUESTION)
            self.assertEqual({one.returncode for one in results[:2]}, {0}, [one.err for one in results])
            self.assertEqual(self.sql(child, "SELECT count(*) FROM t"), "1000")
        self.pgtwig.assert_nothing_leaked()

    def test_a_branch_that_is_deleted_while_it_is_suspended_or_woken_is_gone(self) -> None:
        for number in range(3):
            name = f"demo/gone{number}"
            self.run_pgtwig("branch", "create", name)
            suspend, delete = self.at_once(["branch", "suspend", name], ["branch", "delete", name])
            self.assertIn(suspend.returncode, (0, 3), suspend.err)
            self.assertEqual(delete.returncode, 0, delete.err)
        for number in range(3):
            name = f"demo/gone{number}"
            self.run_pgtwig("branch", "create", name)
            self.run_pgtwig("branch", "suspend", name)
            wake, delete = self.at_once(["psql", name, "--", "-c", "SELECT 1"], ["branch", "delete", name])
            self.assertIn(wake.returncode, (0, 2, 3), wake.err)
            self.assertEqual(delete.returncode, 0, delete.err)
        self.assertEqual(set(self.pgtwig.branches()), {"demo/main", "demo/dev"})
        self.pgtwig.assert_nothing_leaked()
