"""Which branches are suspended by themselves, and which are not: by what clients do in them, with real sessions."""

import socket
import subprocess
import urllib.parse

from harness.case import SystemTest
from harness.installation import eventually, postgres_programs
from harness.session import Session


class Sleep(SystemTest):
    file_system = "host"

    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")
        self.run_pgtwig("branch", "create", "demo/dev", "--durability", "none")
        self.run_pgtwig("branch", "create", "demo/clock", "--durability", "none", "--suspend-after", "1s")

    def suspend_dev_after(self, time: str) -> None:
        self.run_pgtwig("branch", "set", "demo/dev", "--suspend-after", time)

    def session(self, branch: str) -> Session:
        session = Session(self.pgtwig.url(branch))
        self.addCleanup(session.close)
        return session

    def state(self, branch: str) -> str:
        return self.pgtwig.json("branch", "get", branch)["state"]

    def until_asleep(self, branch: str) -> None:
        eventually(lambda: self.state(branch) == "suspended", f"{branch} sleeps", 60)

    def let_others_fall_asleep(self, times: int = 2) -> None:
        """By then a branch with the same time would be asleep, too."""
        for _ in range(times):
            self.run_pgtwig("start", "demo/clock")
            self.until_asleep("demo/clock")

    def test_a_transaction_keeps_a_branch_awake_until_it_ends(self) -> None:
        session = self.session("demo/dev")
        self.assertEqual(session.say("BEGIN; SELECT 1;"), "1")
        self.suspend_dev_after("1s")
        self.let_others_fall_asleep()
        self.assertEqual(self.state("demo/dev"), "running")
        self.assertEqual(session.say("SELECT 2; COMMIT;"), "2")
        self.until_asleep("demo/dev")

    def test_a_statement_that_runs_keeps_a_branch_awake(self) -> None:
        session = self.session("demo/dev")
        session.psql.stdin.write("SELECT pg_sleep(3600);\n")
        self.suspend_dev_after("1s")
        self.let_others_fall_asleep()
        self.assertEqual(self.state("demo/dev"), "running")

    def test_sessions_that_do_nothing_are_told_that_the_server_shuts_down(self) -> None:
        session = self.session("demo/dev")
        self.assertEqual(session.say("SELECT 1;"), "1")
        self.suspend_dev_after("1s")
        self.until_asleep("demo/dev")
        self.assertIn("terminating connection due to administrator command", session.say("SELECT 2;"))

    def test_short_sessions_keep_a_branch_awake(self) -> None:
        url = self.pgtwig.url("demo/dev")
        self.suspend_dev_after("5s")

        def a_short_session_and_then_asleep() -> bool:
            self.assertEqual(self.pgtwig.sql_at(url, "SELECT 1"), "1")
            return self.state("demo/clock") == "suspended"

        for _ in range(3):
            self.run_pgtwig("start", "demo/clock")
            eventually(a_short_session_and_then_asleep, "the other one sleeps", 60)
        self.assertEqual(self.state("demo/dev"), "running")
        self.until_asleep("demo/dev")

    def test_a_replica_that_is_sent_nothing_does_not_keep_a_branch_awake(self) -> None:
        directory = self.pgtwig.base.path / "received"
        directory.mkdir()
        receiver = subprocess.Popen([str(postgres_programs() / "pg_receivewal"), "-D", str(directory), "--no-loop",
                                     "-d", self.pgtwig.url("demo/dev")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    text=True)
        self.addCleanup(receiver.communicate)
        self.addCleanup(receiver.kill)
        eventually(lambda: receiver.poll() is not None or any(directory.iterdir()), "it receives", 30)
        self.assertIsNone(receiver.poll())
        self.suspend_dev_after("1s")
        self.until_asleep("demo/dev")

    def test_connections_are_counted(self) -> None:
        port = urllib.parse.urlsplit(self.pgtwig.url("demo/dev")).port
        count = lambda: self.pgtwig.branches()["demo/dev"]["connections"]
        eventually(lambda: count() == 0, "nobody is there", 10)
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        eventually(lambda: count() == 3, "three are there", 10)
        for one in sockets:
            one.close()
        eventually(lambda: count() == 0, "nobody is there any more", 10)

    def test_a_branch_that_sleeps_sleeps_on_when_the_daemon_died(self) -> None:
        self.suspend_dev_after("1s")
        self.until_asleep("demo/dev")
        self.pgtwig.kill_daemon()
        self.pgtwig.start_daemon()
        self.until_asleep("demo/clock")
        self.assertEqual(self.state("demo/dev"), "suspended")
        self.assertEqual(self.state("demo/main"), "running")
        self.pgtwig.assert_nothing_leaked()
