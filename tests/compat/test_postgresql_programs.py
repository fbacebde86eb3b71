"""PostgreSQL's own programs through the endpoint: psql, pgbench, pg_dump, pg_restore, pg_basebackup, pg_receivewal."""

import signal
import subprocess

from harness.endpoint import EndpointTest
from harness.installation import eventually, postgres_programs

WHERE = "SELECT current_setting('pgtwig.branch'), name, current_user, current_database() FROM here"
DEV = "demo/dev|dev|postgres|postgres"


class Programs(EndpointTest):
    def test_psql_finds_the_branch_by_every_rule(self) -> None:
        for rule, parameters in self.routes().items():
            with self.subTest(rule):
                self.assertEqual(self.psql(WHERE, self.parameters(**parameters)), DEV)
                self.assertEqual(self.psql(WHERE, self.parameters() | self.tls() | parameters), DEV)
        self.assertEqual(self.psql(WHERE, self.parameters(**self.tls("dev.demo.localhost"))), DEV)
        unselected = self.psql(WHERE, self.parameters(), expect_failure=True)
        self.assertIn("none is selected", unselected)
        self.assertIn("pgtwig use", unselected)
        url = self.run_pgtwig("branch", "url", "demo/dev", "--proxy").out.strip()
        self.assertIn(f":{self.port}/", url)
        self.assertEqual(self.pgtwig.sql_at(url, "SELECT name FROM here"), "dev")

    def test_psql_with_tls_takes_scram_by_default_and_says_what_it_cannot(self) -> None:
        def tls(**more: str) -> dict[str, str]:
            return self.parameters(dbname="postgres@demo/dev", sslmode="require", **more)

        self.assertEqual(self.psql("SELECT name FROM here", tls(channel_binding="prefer")), "dev")
        self.assertEqual(self.psql("SELECT name FROM here", tls(channel_binding="disable")), "dev")
        self.assertIn("channel binding", self.psql("SELECT 1", tls(channel_binding="require"), expect_failure=True))
        self.assertIn("password authentication failed", self.psql("SELECT 1", tls(password="wrong"), expect_failure=True))
        self.assertIn("pgtwig's own", self.psql("SELECT 1", tls(user="pgtwig_admin"), expect_failure=True))

    def test_psql_cancels_its_statement_and_no_other(self) -> None:
        for extra in ({}, self.tls()):
            psql = [str(postgres_programs() / "psql"), "-XAt", "-d"]
            sleepers = [subprocess.Popen([*psql, self.conninfo(self.parameters(dbname=f"postgres@demo/{branch}") | extra),
                                          "-c", "SELECT pg_sleep(100), 'slow'"], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                        for branch in ("dev", "main")]
            try:
                for branch in ("demo/dev", "demo/main"):
                    eventually(lambda: self.backends(branch, "slow") == 1, f"{branch} is busy")
                sleepers[0].send_signal(signal.SIGINT)
                _, said = sleepers[0].communicate(timeout=30)
                self.assertIn("canceling statement due to user request", said)
                self.assertEqual(self.backends("demo/main", "slow"), 1)
                sleepers[1].send_signal(signal.SIGINT)
                self.assertIn("canceling statement", sleepers[1].communicate(timeout=30)[1])
            finally:
                for sleeper in sleepers:
                    sleeper.kill()
                    sleeper.wait()

    def test_pgbench_runs_with_and_without_tls(self) -> None:
        for extra in ({}, self.tls()):
            target = self.conninfo(self.parameters(dbname="postgres@demo/dev") | extra)
            self.program("pgbench", "-iq", "-s", "1", target)
            for mode in ("simple", "prepared"):
                out = self.program("pgbench", "-n", "-c", "4", "-t", "50", "-M", mode, target).stdout
                self.assertIn("number of failed transactions: 0 (0.000%)", out)
            # A fresh connection for each transaction.
            self.program("pgbench", "-n", "-C", "-S", "-c", "2", "-t", "20", target)

    def test_pg_dump_and_pg_restore_carry_large_rows_from_branch_to_branch(self) -> None:
        self.sql("demo/dev", "CREATE TABLE large AS SELECT n, repeat(md5(n::text), 327680) AS text FROM generate_series(1, 3) n")
        dump = str(self.pgtwig.base.path / "dev.dump")
        source = self.conninfo(self.parameters(dbname="postgres@demo/dev") | self.tls())
        self.program("pg_dump", "-Fc", "-Z1", "-t", "large", "-f", dump, "-d", source)
        self.program("pg_restore", "-d", self.conninfo(self.parameters(dbname="postgres@demo/main")), dump)
        digest = "SELECT count(*), sum(length(text)), md5(string_agg(md5(text), '' ORDER BY n)) FROM large"
        self.assertEqual(self.sql("demo/main", digest), self.sql("demo/dev", digest))
        self.assertTrue(self.sql("demo/main", digest).startswith("3|31457280|"))

    def test_pg_basebackup_and_pg_receivewal_replicate(self) -> None:
        for rule in ("user", "options"):
            for name, extra in (("plain", {}), ("tls", self.tls())):
                backup = str(self.pgtwig.base.path / f"backup-{rule}-{name}")
                parameters = self.parameters(**self.routes()[rule]) | extra
                del parameters["dbname"]
                self.program("pg_basebackup", "-D", backup, "-X", "stream", "-c", "fast", "-d", self.conninfo(parameters))
                self.program("pg_verifybackup", backup)
        parameters = self.parameters(user="postgres@demo/dev")
        del parameters["dbname"]
        folder = self.pgtwig.base.path / "wal"
        folder.mkdir()
        receiver = subprocess.Popen([str(postgres_programs() / "pg_receivewal"), "-D", str(folder), "--no-loop", "-d",
                                     self.conninfo(parameters)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            streams = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal' AND state = 'streaming'"
            eventually(lambda: self.sql("demo/dev", streams) == "1", "the log streams")
            # Nothing is sent of a segment in which nothing is yet.
            self.sql("demo/dev", "CREATE TABLE more AS SELECT 1")
            segment = self.sql("demo/dev", "SELECT pg_walfile_name(pg_current_wal_lsn())")
            self.sql("demo/dev", "SELECT pg_switch_wal()")
            eventually((folder / segment).exists, "a whole segment is there")
        finally:
            receiver.send_signal(signal.SIGINT)
            _, said = receiver.communicate(timeout=30)
        self.assertEqual(receiver.returncode, 0, said)
