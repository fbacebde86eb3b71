"""A branch gets another body by reset and restore: what its clients were told stays true, and what its history and its password are."""

import subprocess
from urllib.parse import urlsplit

from harness.case import SystemTest
from harness.installation import eventually, moment_on, postgres_programs


class ReplacedBodies(SystemTest):
    file_system = "btrfs"

    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE t AS SELECT 1 AS n")
        self.run_pgtwig("branch", "create", "demo/dev")

    def wrote(self, url: str, row: int) -> bool:
        """Whether the server said that it is committed."""
        done = subprocess.run([str(postgres_programs() / "psql"), "-XAtq", "-d", url, "-c", f"INSERT INTO t VALUES ({row})"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return done.returncode == 0

    def test_what_was_acknowledged_outlives_a_daemon_that_dies_in_a_reset(self) -> None:
        url = self.pgtwig.url("demo/dev")
        gate = self.pgtwig.base.path / "gate"
        reached = []
        for row, point in enumerate(("committing", "committed", "postgresql_ready", "completing"), 100):
            self.run_pgtwig("daemon", "stop")
            self.pgtwig.start_daemon({"PGTWIG_FAULT": f"branch_reset.{point}=pause:{gate}"})
            reset = self.pgtwig.start("branch", "reset", "demo/dev")
            eventually(gate.exists, f"the reset has come to {point}")
            told = self.wrote(url, row)
            reached.append(told)
            self.pgtwig.kill_daemon()
            gate.unlink()
            reset.communicate(timeout=60)
            self.pgtwig.start_daemon()
            eventually(lambda: self.pgtwig.branches()["demo/dev"]["state"] == "running", "it runs again")
            if told:
                self.assertEqual(self.sql("demo/dev", f"SELECT count(*) FROM t WHERE n = {row}"), "1", point)
        self.assertIn(True, reached, "no client was let in at any point")
        self.pgtwig.assert_nothing_leaked()

    def test_a_resting_branch_keeps_its_own_password(self) -> None:
        self.run_pgtwig("snapshot", "create", "demo/dev@before")
        self.run_pgtwig("branch", "password", "demo/dev", "--reset")
        password = urlsplit(self.pgtwig.url("demo/dev")).password
        self.assertNotEqual(password, urlsplit(self.pgtwig.url("demo/main")).password)
        for change in (["branch", "reset", "demo/dev"], ["branch", "restore", "demo/dev", "--at", "before"]):
            for rest in (["stop"], ["branch", "suspend"], None):
                with self.subTest(change=change, rest=rest):
                    if rest:
                        self.run_pgtwig(*rest, "demo/dev")
                    self.run_pgtwig(*change)
                    self.run_pgtwig("start", "demo/dev")
                    self.assertEqual(urlsplit(self.pgtwig.url("demo/dev")).password, password)
                    self.assertEqual(self.sql("demo/dev", "SELECT 'in'"), "in")
        self.pgtwig.assert_nothing_leaked()

    def test_a_branch_that_was_reset_from_another_can_be_recovered_without_it(self) -> None:
        self.run_pgtwig("branch", "create", "demo/other")
        self.run_pgtwig("branch", "reset", "demo/dev", "--from", "demo/other")
        self.sql("demo/dev", "INSERT INTO t VALUES (2)")
        then = moment_on(self.pgtwig, "demo/dev")
        self.sql("demo/dev", "DELETE FROM t")
        deleted = self.run_pgtwig("branch", "delete", "demo/other")
        self.assertIn("demo/dev was reset from it", deleted.err)
        self.run_pgtwig("branch", "restore", "demo/dev", "--at", then)
        self.assertEqual(self.sql("demo/dev", "SELECT string_agg(n::text, ',' ORDER BY n) FROM t"), "1,2")
        self.pgtwig.assert_nothing_leaked()

    def test_a_delete_waits_for_who_forks_from_its_snapshot(self) -> None:
        self.run_pgtwig("snapshot", "schedule", "set", "demo/dev", "--every", "1h")
        eventually(lambda: self.pgtwig.json("snapshot", "list", "demo/dev", "--all")["snapshots"], "dev has a restore point")
        self.run_pgtwig("branch", "create", "demo/other")
        gate = self.pgtwig.base.path / "gate"
        self.run_pgtwig("daemon", "stop")
        self.pgtwig.start_daemon({"PGTWIG_FAULT": f"snapshot_create.begun=fail,branch_restore.clone_volume=pause:{gate}"})
        warned = self.run_pgtwig("branch", "reset", "demo/other", "--from", "demo/dev")
        self.assertIn("no restore point yet", warned.err)
        restore = self.pgtwig.start("branch", "restore", "demo/other", "--at", moment_on(self.pgtwig, "demo/other"))
        eventually(gate.exists, "the restore is about to read dev's restore point")
        delete = self.pgtwig.start("branch", "delete", "demo/dev")
        with self.assertRaises(subprocess.TimeoutExpired):
            delete.wait(1)
        gate.unlink()
        self.assertEqual(restore.wait(60), 0, restore.stderr.read())
        self.assertEqual(delete.wait(60), 0, delete.stderr.read())
        restore.communicate()
        delete.communicate()
        self.assertEqual(self.sql("demo/other", "SELECT count(*) FROM t"), "1")
        self.pgtwig.assert_nothing_leaked()
