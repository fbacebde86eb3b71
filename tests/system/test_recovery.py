"""Recovery to a point in time where it is hard: quiet servers, partial segments, histories that fork, damage, death."""

import concurrent.futures
import hashlib
import os
import pathlib
import signal
import subprocess

from harness import machine
from harness.case import SystemTest
from harness.installation import Result, eventually, let_pass, moment_on, postgres_programs


class RecoveryTest(SystemTest):
    settings: tuple[str, ...] = ()

    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo", *self.settings)
        self.sql("demo/main", "CREATE TABLE numbers (n int)")
        self.run_pgtwig("snapshot", "create", "demo/main", "first")

    # Shorthands -------------------------------------------------------------------------------------------------------

    def insert(self, branch: str, number: int) -> None:
        self.sql(branch, f"INSERT INTO numbers VALUES ({number})")

    def rows(self, branch: str) -> str:
        return self.sql(branch, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM numbers")

    def switch(self, branch: str) -> None:
        """Ends the present segment and waits until it is archived."""
        name = self.sql(branch, "SELECT pg_walfile_name(pg_switch_wal())")
        eventually(lambda: (self.archive(branch) / name).exists(), f"{name} of {branch} is archived")

    def moment(self, branch: str = "demo/main") -> str:
        return moment_on(self.pgtwig, branch)

    def create_at(self, name: str, source: str, point: str, **options) -> Result:
        return self.run_pgtwig("branch", "create", name, "--from", source, "--at", point, **options)

    def data_directory(self, branch: str) -> pathlib.Path:
        return pathlib.Path(self.sql(branch, "SHOW data_directory"))

    def archive(self, branch: str) -> pathlib.Path:
        data = self.data_directory(branch)
        return data.parent.parent / ".pgtwig-wal" / data.parent.name / "segments"

    def contents(self, archive: pathlib.Path) -> dict[str, str]:
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in archive.iterdir()}


class Points(RecoveryTest):
    def test_a_quiet_database_can_be_recovered_to_a_moment_ago(self) -> None:
        self.insert("demo/main", 1)
        let_pass(2.5)
        self.create_at("demo/ago", "demo/main", "2 seconds ago")
        self.assertEqual(self.rows("demo/ago"), "1")
        self.run_pgtwig("stop", "demo/main")
        self.create_at("demo/again", "demo/main", "1 second ago")
        self.assertEqual(self.rows("demo/again"), "1")

    def test_a_target_in_the_partial_segment_of_a_running_or_stopped_source(self) -> None:
        self.insert("demo/main", 1)
        between = self.moment()
        self.insert("demo/main", 2)
        after = self.moment()
        self.create_at("demo/running", "demo/main", between)
        self.run_pgtwig("stop", "demo/main")
        self.create_at("demo/stopped", "demo/main", between)
        self.create_at("demo/end", "demo/main", after)
        self.assertEqual([self.rows(name) for name in ("demo/running", "demo/stopped", "demo/end")], ["1", "1", "1 2"])

    def test_a_killed_postmaster_left_all_that_was_committed(self) -> None:
        self.insert("demo/main", 1)
        after = self.moment()
        os.kill(self.pgtwig.branches()["demo/main"]["pid"], signal.SIGKILL)
        eventually(lambda: self.pgtwig.branches()["demo/main"]["state"] == "failed", "its end is seen")
        self.create_at("demo/after", "demo/main", after)
        self.assertEqual(self.rows("demo/after"), "1")

    def test_every_kind_of_point(self) -> None:
        self.insert("demo/main", 1)
        xid = self.sql("demo/main", "BEGIN; INSERT INTO numbers VALUES (2); SELECT pg_current_xact_id(); COMMIT")
        self.insert("demo/main", 3)
        self.sql("demo/main", "SELECT pg_create_restore_point('here')")
        self.insert("demo/main", 4)
        lsn = self.sql("demo/main", "SELECT pg_current_wal_insert_lsn()")
        self.insert("demo/main", 5)
        for name, point, rows in (("xid", f"xid:{xid}", "1 2"), ("named", "restore-point:here", "1 2 3"), ("lsn", lsn, "1 2 3 4"),
                                  ("snapshot", "first", "")):
            self.create_at(f"demo/{name}", "demo/main", point)
            self.assertEqual(self.rows(f"demo/{name}"), rows, name)
        for point in ("xid:4000000", "restore-point:nowhere", "0/FF000000"):
            self.create_at("demo/none", "demo/main", point, expect=1)
        self.pgtwig.assert_nothing_leaked()

    def test_what_is_outside_of_the_window_is_refused_before_anything_is_made(self) -> None:
        for point in ("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"):
            refused = self.create_at("demo/none", "demo/main", point, expect=1)
            self.assertIn("hint: ", refused.err)
            self.assertNotIn("Clone volume", refused.err)

    def test_a_transaction_open_at_the_target_is_not_in_it(self) -> None:
        psql = subprocess.Popen([str(postgres_programs() / "psql"), "-XAtq", "-d", self.pgtwig.url("demo/main")], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        psql.stdin.write("BEGIN; INSERT INTO numbers SELECT generate_series(1, 300000); SELECT 'inserted';\n")
        psql.stdin.flush()
        self.assertEqual(psql.stdout.readline().strip(), "inserted")
        self.insert("demo/main", -1)
        open_then = self.moment()
        psql.communicate("COMMIT;\n", timeout=60)
        self.create_at("demo/before", "demo/main", open_then)
        self.create_at("demo/after", "demo/main", self.moment())
        self.assertEqual(self.rows("demo/before"), "-1")
        self.assertEqual(self.sql("demo/after", "SELECT count(*) FROM numbers"), "300001")


class PreparedTransactions(RecoveryTest):
    settings = ("--set", "max_prepared_transactions=5")

    def test_a_transaction_prepared_at_the_target_is_still_prepared(self) -> None:
        self.sql("demo/main", "BEGIN; INSERT INTO numbers VALUES (1); PREPARE TRANSACTION 'two-phases'")
        prepared = self.moment()
        self.sql("demo/main", "COMMIT PREPARED 'two-phases'")
        made = self.create_at("demo/then", "demo/main", prepared)
        self.assertIn("two-phases", made.err)
        self.assertEqual(self.rows("demo/then"), "")
        self.sql("demo/then", "COMMIT PREPARED 'two-phases'")
        self.assertEqual(self.rows("demo/then"), "1")


class Histories(RecoveryTest):
    def test_recoveries_of_one_parent_write_nothing_into_its_archive(self) -> None:
        self.insert("demo/main", 1)
        between = self.moment()
        self.insert("demo/main", 2)
        self.switch("demo/main")
        before = self.contents(self.archive("demo/main"))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: self.create_at(name, "demo/main", between), ("demo/a", "demo/b")))
        for name, number in (("demo/a", 10), ("demo/b", 20)):
            self.insert(name, number)
            self.switch(name)
        after = self.contents(self.archive("demo/main"))
        self.assertEqual({name: after[name] for name in before}, before)
        self.create_at("demo/third", "demo/main", self.moment())
        self.assertEqual([self.rows(name) for name in ("demo/a", "demo/b", "demo/third")], ["1 10", "1 20", "1 2"])

    def test_a_recovered_branch_is_recovered_three_deep(self) -> None:
        name = "demo/main"
        for depth in range(1, 4):
            self.insert(name, depth)
            then = self.moment()
            self.insert(name, 100 + depth)
            if depth == 2:
                self.switch(name)
            self.create_at(f"demo/deep{depth}", name, then)
            name = f"demo/deep{depth}"
            self.assertEqual(self.rows(name), " ".join(map(str, range(1, depth + 1))))

    def test_a_fork_archives_nothing_of_the_line_that_its_source_left(self) -> None:
        self.insert("demo/main", 1)
        self.create_at("demo/recovered", "demo/main", self.moment())
        left = self.sql("demo/recovered", "SELECT pg_walfile_name(pg_current_wal_lsn())")
        self.run_pgtwig("branch", "create", "demo/fork", "--from", "demo/recovered")
        # A checkpoint looks at each segment of pg_wal that is not archived yet.
        self.switch("demo/fork")
        self.sql("demo/fork", "CHECKPOINT")
        self.switch("demo/fork")
        archived = sorted(file.name for file in self.archive("demo/fork").iterdir() if file.name.endswith(left[8:]))
        self.assertEqual(archived, [left])
        self.run_pgtwig("wal", "verify")

    def test_times_before_a_recovered_branch_lead_back_through_where_it_came_from(self) -> None:
        self.insert("demo/main", 1)
        earlier = self.moment()
        self.insert("demo/main", 2)
        then = self.moment()
        self.insert("demo/main", 3)
        later = self.moment()
        self.create_at("demo/recovered", "demo/main", then)
        self.insert("demo/recovered", 10)
        self.create_at("demo/earlier", "demo/recovered", earlier)
        # It was not there yet, and what its source became is not its history.
        self.create_at("demo/later", "demo/recovered", later)
        self.assertEqual([self.rows(name) for name in ("demo/earlier", "demo/later")], ["1", "1 2"])

    def test_times_follow_a_branch_through_reset_and_restore(self) -> None:
        self.insert("demo/main", 1)
        self.run_pgtwig("branch", "create", "demo/dev")
        self.insert("demo/dev", 2)
        before_reset = self.moment()
        self.run_pgtwig("branch", "reset", "demo/dev")
        self.insert("demo/dev", 3)
        before_restore = self.moment()
        self.run_pgtwig("branch", "restore", "demo/dev", "--at", before_reset)
        self.assertEqual(self.rows("demo/dev"), "1 2")
        self.insert("demo/dev", 4)
        self.create_at("demo/x", "demo/dev", before_restore)
        self.create_at("demo/y", "demo/dev", before_reset)
        self.assertEqual([self.rows(name) for name in ("demo/x", "demo/y", "demo/dev")], ["1 3", "1 2", "1 2 4"])

    def test_a_restore_keeps_what_was_there_and_can_be_undone(self) -> None:
        self.insert("demo/main", 1)
        then = self.moment()
        self.insert("demo/main", 2)
        self.run_pgtwig("branch", "create", "demo/bystander")
        url, pid = self.pgtwig.url("demo/main"), self.pgtwig.branches()["demo/bystander"]["pid"]
        self.run_pgtwig("branch", "restore", "demo/main", "--at", then)
        self.assertEqual(self.rows("demo/main"), "1")
        self.assertEqual(self.pgtwig.url("demo/main"), url)
        self.assertEqual(self.pgtwig.branches()["demo/bystander"]["pid"], pid)
        kept = [snapshot["snapshot"] for snapshot in self.pgtwig.json("snapshot", "list", "demo/main")["snapshots"]
                if snapshot["kind"] == "restore"]
        self.assertEqual(len(kept), 1)
        self.run_pgtwig("branch", "restore", "demo/main", "--at", kept[0])
        self.assertEqual(self.rows("demo/main"), "1 2")


class Damage(RecoveryTest):
    """Four segments, of which the third is damaged."""

    def setUp(self) -> None:
        super().setUp()
        self.before = ""
        self.inside = ""
        for number in (1, 2, 3, 4):
            self.insert("demo/main", number)
            if number == 1:
                self.before = self.moment()
            if number == 3:
                self.inside = self.moment()
                self.victim = self.archive("demo/main") / self.sql("demo/main", "SELECT pg_walfile_name(pg_current_wal_lsn())")
            self.switch("demo/main")
        # In pg_wal there is a copy until the next checkpoint but one.
        self.sql("demo/main", "CHECKPOINT")
        self.sql("demo/main", "CHECKPOINT")
        eventually(lambda: not (self.data_directory("demo/main") / "pg_wal" / self.victim.name).exists(), "it is archived only")

    def judge(self, problem: str) -> None:
        verified = self.run_pgtwig("wal", "verify", "demo/main", "-o", "json", expect=8).json()
        found = {entry["segment"]: entry["problem"] for entry in verified["problems"]}
        self.assertIn(problem, found.get(self.victim.name, ""), found)
        gaps = self.pgtwig.json("wal", "info", "demo/main")["gaps"]
        self.assertIn(self.victim.name, [gap["from"] for gap in gaps])
        self.create_at("demo/none", "demo/main", self.inside, expect=1)
        self.create_at("demo/before", "demo/main", self.before)
        self.assertEqual(self.rows("demo/before"), "1")
        # From a restore point after it everything is as before.
        self.run_pgtwig("snapshot", "create", "demo/main")
        self.insert("demo/main", 5)
        self.create_at("demo/after", "demo/main", self.moment())
        self.assertEqual(self.rows("demo/after"), "1 2 3 4 5")

    def test_a_missing_segment_shrinks_the_window(self) -> None:
        self.victim.unlink()
        self.judge("missing")

    def test_a_truncated_segment_shrinks_the_window(self) -> None:
        os.truncate(self.victim, 1 << 20)
        self.judge("truncated")

    def test_a_segment_of_another_cluster_shrinks_the_window(self) -> None:
        self.run_pgtwig("project", "create", "other")
        name = self.sql("other/main", "SELECT pg_walfile_name(pg_switch_wal())")
        stranger = self.archive("other/main") / name
        eventually(stranger.exists, "the other's segment is archived")
        self.victim.write_bytes(stranger.read_bytes())
        self.judge("another cluster")


class ForkedDamage(RecoveryTest):
    def test_moments_before_a_fork_are_in_its_window_only_while_its_parent_has_their_wal(self) -> None:
        self.insert("demo/main", 1)
        before = self.moment()
        self.run_pgtwig("branch", "create", "demo/fork")
        self.insert("demo/fork", 2)
        after = self.moment("demo/fork")
        shared = self.archive("demo/main") / self.sql("demo/main", "SELECT pg_walfile_name(pg_current_wal_lsn())")
        for branch in ("demo/main", "demo/fork"):
            self.switch(branch)
        self.assertTrue(self.has_in_window("demo/fork", before))
        for _ in range(2):
            self.sql("demo/main", "CHECKPOINT")
        eventually(lambda: not (self.data_directory("demo/main") / "pg_wal" / shared.name).exists(), "it is archived only")
        shared.unlink()
        # The fork has all of that segment up to where it began, in its own copy.
        self.assertTrue((self.archive("demo/fork") / shared.name).exists())
        self.assertFalse(self.has_in_window("demo/fork", before))
        self.create_at("demo/none", "demo/fork", before, expect=1)
        self.assertTrue(self.has_in_window("demo/fork", after))
        self.create_at("demo/after", "demo/fork", after)
        self.assertEqual(self.rows("demo/after"), "1 2")

    def has_in_window(self, branch: str, time: str) -> bool:
        windows = self.pgtwig.json("wal", "info", branch)["windows"]
        return any(window["from"] <= time <= window["to"] for window in windows)


class Death(RecoveryTest):
    def test_a_daemon_killed_during_a_recovery_leaves_nothing_of_it(self) -> None:
        self.insert("demo/main", 1)
        then = self.moment()
        self.insert("demo/main", 2)
        self.run_pgtwig("daemon", "stop")
        eventually(lambda: self.pgtwig.daemon_pid() is None, "the daemon ended")
        self.pgtwig.start_daemon({"PGTWIG_FAULT": "branch_restore.replay_wal=kill"})
        self.run_pgtwig("branch", "restore", "demo/main", "--at", then, expect=2)
        self.pgtwig.assert_nothing_leaked()
        self.assertEqual(self.rows("demo/main"), "1 2")
        self.run_pgtwig("branch", "restore", "demo/main", "--at", then)
        self.assertEqual(self.rows("demo/main"), "1")

    def test_a_server_killed_while_it_archives_leaves_no_gap(self) -> None:
        for number in range(3):
            self.sql("demo/main", f"INSERT INTO numbers SELECT {number} FROM generate_series(1, 200000)")
            os.kill(self.pgtwig.branches()["demo/main"]["pid"], signal.SIGKILL)
            eventually(lambda: self.pgtwig.branches()["demo/main"]["state"] == "failed", "its end is seen")
            self.run_pgtwig("start", "demo/main")
        self.switch("demo/main")
        self.assertEqual(self.pgtwig.json("wal", "verify")["problems"], [])
        self.create_at("demo/after", "demo/main", self.moment())
        self.assertEqual(self.sql("demo/after", "SELECT count(*) FROM numbers"), "600000")

    def test_a_killed_helper_is_run_again(self) -> None:
        load = subprocess.Popen([str(postgres_programs() / "psql"), "-Xq", "-d", self.pgtwig.url("demo/main"), "-c",
                                 "INSERT INTO numbers SELECT generate_series(1, 1500000)"])
        killed = 0
        while load.poll() is None:
            for one in machine.processes_of(self.pgtwig.base.path):
                if one.command.startswith(str(self.pgtwig.root / "helper/pgtwig")) and killed < 5:
                    try:
                        os.kill(one.pid, signal.SIGKILL)
                        killed += 1
                    except ProcessLookupError:
                        pass
        self.assertEqual(load.returncode, 0)
        self.switch("demo/main")
        self.assertEqual(self.pgtwig.json("wal", "verify")["problems"], [])
        self.create_at("demo/after", "demo/main", self.moment())
        self.assertEqual(self.sql("demo/after", "SELECT count(*) FROM numbers"), "1500000")


class Tablespaces(RecoveryTest):
    def test_a_tablespace_of_the_parent_is_never_written_by_a_replay(self) -> None:
        outside = self.pgtwig.base.path / "tablespace"
        outside.mkdir()
        data = self.data_directory("demo/main")
        os.chown(outside, data.stat().st_uid, data.stat().st_gid)
        self.sql("demo/main", f"CREATE TABLESPACE outside LOCATION '{outside}'")
        self.sql("demo/main", "CREATE TABLE far (n int) TABLESPACE outside; INSERT INTO far VALUES (1)")
        before = sorted(str(path) for path in outside.rglob("*"))
        refused = self.create_at("demo/none", "demo/main", self.moment(), expect=9)
        self.assertIn("tablespace", refused.err)
        self.assertEqual(sorted(str(path) for path in outside.rglob("*")), before)
        self.assertEqual(self.sql("demo/main", "SELECT n FROM far"), "1")
        self.sql("demo/main", "DROP TABLE far")
        self.sql("demo/main", "DROP TABLESPACE outside")
        self.pgtwig.assert_nothing_leaked()


class OnXfs(RecoveryTest):
    file_system = "xfs"

    def test_on_a_file_system_that_copies_file_by_file(self) -> None:
        self.insert("demo/main", 1)
        then = self.moment()
        self.insert("demo/main", 2)
        self.create_at("demo/then", "demo/main", then)
        self.assertEqual(self.rows("demo/then"), "1")
        self.run_pgtwig("branch", "restore", "demo/main", "--at", then)
        self.assertEqual(self.rows("demo/main"), "1")


class OfAnOrdinaryUser(RecoveryTest):
    user = "ordinary"

    def test_an_ordinary_users_daemon_archives_and_recovers(self) -> None:
        self.insert("demo/main", 1)
        then = self.moment()
        self.insert("demo/main", 2)
        self.switch("demo/main")
        self.create_at("demo/then", "demo/main", then)
        self.assertEqual(self.rows("demo/then"), "1")


class SmallDisk(RecoveryTest):
    size = 1 << 30

    def test_a_disk_that_fills_up_with_wal_shrinks_the_window_and_stops_nobody(self) -> None:
        pid = self.pgtwig.branches()["demo/main"]["pid"]
        for number in range(70):
            self.sql("demo/main", "SELECT pg_logical_emit_message(false, 'fill', repeat(md5(random()::text), 480000))")
            if number % 10 == 0:
                self.insert("demo/main", number)
            name = self.sql("demo/main", "SELECT pg_walfile_name(pg_switch_wal())")
            eventually(lambda: self.sql("demo/main", "SELECT last_archived_wal FROM pg_stat_archiver") >= name, "it is archived")
            self.sql("demo/main", "CHECKPOINT")
        self.assertEqual(self.pgtwig.branches()["demo/main"]["pid"], pid)
        info = self.pgtwig.json("wal", "info", "demo/main")
        written = int(self.sql("demo/main", "SELECT pg_current_wal_lsn() - '0/0'"))
        self.assertLess(info["segments"] * (4 << 20), 0.9 * written)
        self.run_pgtwig("snapshot", "create", "demo/main")
        self.insert("demo/main", 100)
        self.create_at("demo/after", "demo/main", self.moment())
        self.assertEqual(self.rows("demo/after"), "0 10 20 30 40 50 60 100")
