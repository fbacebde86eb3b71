"""`pgtwig state rebuild`: what was deleted stays deleted, and histories go on, whenever the daemon before had to end."""

import json

from harness.case import SystemTest
from harness.installation import eventually, moment_on


class Rebuild(SystemTest):
    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")

    def end_daemon(self) -> None:
        self.run_pgtwig("daemon", "stop")
        eventually(lambda: self.pgtwig.daemon_pid() is None, "the daemon ended")

    def daemon_that_dies_at(self, point: str) -> None:
        self.end_daemon()
        self.pgtwig.start_daemon({"PGTWIG_FAULT": f"{point}=kill"})

    def lose_catalog(self) -> None:
        self.run_pgtwig("daemon", "stop", "--stop-all")
        for file in self.pgtwig.root.glob("catalog.db*"):
            file.unlink()

    def histories(self, branch: str) -> list[str]:
        """Whose bodies a branch was made of, its own first."""
        return [body["branch"] for body in self.pgtwig.json("branch", "get", branch)["lineage"]]


class Deleted(Rebuild):
    def test_what_was_deleted_stays_so_through_rebuild_after_rebuild(self) -> None:
        self.run_pgtwig("branch", "create", "demo/gone")
        self.daemon_that_dies_at("sweep.instance_gone")
        self.run_pgtwig("branch", "delete", "demo/gone", expect=None)
        # The first one ends before it has removed anything, too.
        for environment in ({"PGTWIG_FAULT": "sweep.instance_gone=kill"}, {}):
            eventually(lambda: self.pgtwig.daemon_pid() is None, "the daemon died")
            self.run_pgtwig("state", "rebuild", environment=environment, expect=None)
        self.assertEqual(list(self.pgtwig.branches()), ["demo/main"])
        self.pgtwig.assert_nothing_leaked()


class Histories(Rebuild):
    def test_of_a_branch_that_was_started_later_than_made(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev", "--no-start")
        self.run_pgtwig("start", "demo/dev")
        self.lose_catalog()
        self.run_pgtwig("state", "rebuild")
        self.assertEqual(self.histories("demo/dev"), ["demo/dev", "demo/main"])

    def test_of_a_branch_that_was_reset_while_it_was_stopped(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        self.run_pgtwig("stop", "demo/dev")
        self.run_pgtwig("branch", "reset", "demo/dev")
        self.run_pgtwig("start", "demo/dev")
        self.lose_catalog()
        self.run_pgtwig("state", "rebuild")
        self.assertEqual(self.histories("demo/dev"), ["demo/dev", "demo/main"])

    def test_of_a_reset_whose_daemon_died_right_after_it(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        self.daemon_that_dies_at("branch_reset.committed")
        self.run_pgtwig("branch", "reset", "demo/dev", expect=None)
        before, now = self.bodies("demo/dev")
        eventually(lambda: self.record(now) is not None and self.record(before)["ended_at"], "the next one wrote its history")
        self.lose_catalog()
        self.run_pgtwig("state", "rebuild")
        self.assertEqual(self.histories("demo/dev"), ["demo/dev", "demo/main"])

    def test_a_recovered_branch_whose_history_is_lost_can_be_recovered_on(self) -> None:
        self.sql("demo/main", "CREATE TABLE numbers AS SELECT 1 AS n")
        self.run_pgtwig("snapshot", "create", "demo/main", "first")
        self.run_pgtwig("branch", "create", "demo/then", "--at", moment_on(self.pgtwig, "demo/main"))
        (body,) = self.bodies("demo/then")
        self.archive(body).joinpath("incarnation.json").unlink()
        self.lose_catalog()
        self.run_pgtwig("state", "rebuild")
        self.run_pgtwig("start", "demo/then")
        self.run_pgtwig("snapshot", "create", "demo/then", "again")
        self.sql("demo/then", "INSERT INTO numbers VALUES (2)")
        later = moment_on(self.pgtwig, "demo/then")
        self.sql("demo/then", "INSERT INTO numbers VALUES (3)")
        self.run_pgtwig("branch", "create", "demo/later", "--from", "demo/then", "--at", later)
        self.assertEqual(self.sql("demo/later", "SELECT string_agg(n::text, ' ' ORDER BY n) FROM numbers"), "1 2")

    # Shorthands -------------------------------------------------------------------------------------------------------

    def bodies(self, branch: str) -> list[str]:
        """Of a branch, the oldest first."""
        project, name = branch.split("/")
        return sorted(self.pgtwig.catalog_column(
            "SELECT incarnations.id FROM incarnations JOIN branches ON branches.id = incarnations.branch JOIN projects ON "
            f"projects.id = branches.project WHERE projects.name = '{project}' AND branches.name = '{name}'"), key=self.began_at)

    def began_at(self, body: str) -> int:
        (moment,) = self.pgtwig.catalog_column(f"SELECT began_at FROM incarnations WHERE id = '{body}'")
        return moment

    def archive(self, body: str):
        (pool,) = self.pgtwig.pool_directories()
        return pool / ".pgtwig-wal" / body

    def record(self, body: str) -> dict | None:
        """What lies in the archive of a body for the case that the catalog is lost."""
        file = self.archive(body) / "incarnation.json"
        return json.loads(file.read_text()) if file.exists() else None
