"""Servers that won't start, and a source that is busy while it is branched."""

import socket
import subprocess

from harness.case import SystemTest
from harness.installation import postgres_programs


class ServersThatWontStart(SystemTest):
    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE t AS SELECT 1 AS n")

    def occupied(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        self.addCleanup(listener.close)
        return listener

    def test_a_taken_port_is_skipped(self) -> None:
        port = self.pgtwig.branches()["demo/main"]["port"] + 1
        self.occupied(port)
        self.run_pgtwig("branch", "create", "demo/dev")
        self.assertGreater(self.pgtwig.branches()["demo/dev"]["port"], port)

    def test_a_port_that_was_asked_for_and_is_taken_is_refused(self) -> None:
        port = self.pgtwig.ports.last
        self.occupied(port)
        refused = self.run_pgtwig("branch", "create", "demo/dev", "--port", str(port), expect=5)
        self.assertIn(str(port), refused.err)
        self.assertIn("hint: ", refused.err)
        taken = self.pgtwig.branches()["demo/main"]["port"]
        self.assertEqual(self.run_pgtwig("branch", "create", "demo/dev", "--port", str(taken), expect=None).status, 4)
        self.pgtwig.assert_nothing_leaked()

    def test_a_port_taken_while_the_branch_was_stopped_names_the_way_out(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        port = self.pgtwig.branches()["demo/dev"]["port"]
        self.run_pgtwig("stop", "demo/dev")
        listener = self.occupied(port)
        refused = self.run_pgtwig("start", "demo/dev", expect=5)
        self.assertIn(str(port), refused.err)
        self.assertIn("--port", refused.err)
        listener.close()
        self.run_pgtwig("start", "demo/dev")
        self.pgtwig.assert_nothing_leaked()

    def test_an_own_setting_that_is_wrong_fails_the_start_in_postgresqls_words(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        self.run_pgtwig("stop", "demo/dev")
        data = [path.parent for path in self.pgtwig.root.rglob("PG_VERSION") if path.parent.name == "data"]
        for folder in data:
            if not (folder / "postmaster.pid").exists():
                with open(folder / "postgresql.auto.conf", "a") as file:
                    file.write("work_mem = 'plenty'\n")
        failed = self.run_pgtwig("start", "demo/dev", expect=2)
        self.assertIn("work_mem", failed.err)
        self.assertIn("hint: ", failed.err)
        self.assertEqual(self.pgtwig.branches()["demo/dev"]["state"], "stopped")
        self.assertIn("work_mem", self.run_pgtwig("branch", "logs", "demo/dev").out)
        self.run_pgtwig("branch", "reset", "demo/dev")
        self.assertEqual(self.pgtwig.branches()["demo/main"]["state"], "running")
        self.pgtwig.assert_nothing_leaked()

    def test_a_data_directory_of_another_version_is_named(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev", "--no-start")
        pid = self.pgtwig.branches()["demo/main"]["pid"]
        running = subprocess.run(["readlink", f"/proc/{pid}/cwd"], capture_output=True, text=True).stdout.strip()
        for path in self.pgtwig.root.rglob("PG_VERSION"):
            if path.parent.name == "data" and str(path.parent) != running:
                path.write_text("9.6\n")
        failed = self.run_pgtwig("start", "demo/dev", expect=2)
        self.assertIn("hint: ", failed.err)
        self.assertEqual(self.run_pgtwig("branch", "get", "demo/dev", "-o", "name").out, "demo/dev\n")


class WordsOfServers(SystemTest):
    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")

    def test_names_that_are_no_utf8_break_nothing(self) -> None:
        """A superuser of the source can make any file there."""
        self.sql("demo/main", r"COPY (SELECT 1) TO PROGRAM $$mkdir pg_replslot/$(printf 'a\377')z$$")
        self.run_pgtwig("branch", "create", "demo/dev")
        self.assertIn(r"replication slot: a\xffz", self.pgtwig.json("branch", "get", "demo/dev")["held_back"])
        self.run_pgtwig("daemon", "stop")
        self.assertEqual(set(self.pgtwig.branches()), {"demo/main", "demo/dev"})
        self.run_pgtwig("state", "rebuild", "--yes")
        self.assertEqual(set(self.pgtwig.branches()), {"demo/main", "demo/dev"})
        self.pgtwig.assert_nothing_leaked()

    def test_the_log_of_another_encoding_can_be_read(self) -> None:
        self.sql("demo/main", "CREATE DATABASE western ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        url = self.pgtwig.url("demo/main").rsplit("/", 1)[0] + "/western?client_encoding=UTF8"
        self.pgtwig.sql_at(url, "SELECT 'café'::int", expect_failure=True)
        self.assertIn(r'"caf\xe9"', self.run_pgtwig("branch", "logs", "demo/main").out)
        self.assertIn(r'"caf\xe9"', self.pgtwig.json("branch", "logs", "demo/main")["log"])


class BusySource(SystemTest):
    """pgbench on the parent while ten branches are made in a row."""

    def branch_under_load(self) -> None:
        pgbench = str(postgres_programs() / "pgbench")
        self.run_pgtwig("project", "create", "demo")
        url = self.pgtwig.url("demo/main")
        subprocess.run([pgbench, "-iq", "-s", "5", url], check=True, capture_output=True)
        self.sql("demo/main", "CREATE EXTENSION amcheck")
        load = subprocess.Popen([pgbench, "-n", "-c", "4", "-R", "200", "-T", "120", url], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        try:
            for number in range(10):
                self.one_branch(f"demo/b{number}")
            self.assertIsNone(load.poll(), "the load ended too early")
        finally:
            load.terminate()
            _, said = load.communicate(timeout=30)
        self.assertNotIn("error", said)
        self.assertEqual(self.sql("demo/main", self.consistent), "t")
        self.pgtwig.assert_nothing_leaked()

    consistent = ("SELECT count(DISTINCT s) = 1 FROM (SELECT sum(abalance) FROM pgbench_accounts UNION ALL SELECT sum(tbalance) "
                  "FROM pgbench_tellers UNION ALL SELECT sum(bbalance) FROM pgbench_branches UNION ALL SELECT "
                  "coalesce(sum(delta), 0) FROM pgbench_history) AS sums (s)")

    def one_branch(self, name: str) -> None:
        # What was acknowledged before the create began has to be in the branch.
        acknowledged = int(self.sql("demo/main", "SELECT count(*) FROM pgbench_history"))
        self.run_pgtwig("branch", "create", name)
        self.assertGreaterEqual(int(self.sql(name, "SELECT count(*) FROM pgbench_history")), acknowledged)
        self.assertEqual(self.sql(name, self.consistent), "t", name)
        self.sql(name, "SELECT bt_index_parent_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam "
                       "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.amname = 'btree' AND n.nspname = 'public'")
        self.assertEqual(self.sql(name, "SELECT count(*) FROM verify_heapam('pgbench_accounts')"), "0")
        self.run_pgtwig("branch", "delete", name)


class BusySourceOnBtrfs(BusySource):
    def test_ten_branches_of_a_busy_parent_on_btrfs_are_consistent(self) -> None:
        self.branch_under_load()


class BusySourceOnXfs(BusySource):
    file_system = "xfs"

    def test_ten_branches_of_a_busy_parent_on_xfs_are_consistent(self) -> None:
        self.branch_under_load()
