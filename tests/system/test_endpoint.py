"""The endpoint for all branches with the real daemon: selection, sleep and wake, clients that mean no good, certificates."""

import concurrent.futures
import os
import pathlib
import shutil
import socket
import struct
import subprocess

from harness.endpoint import EndpointTest
from harness.installation import eventually, postgres_programs

HERE = "SELECT name FROM here"


class Selection(EndpointTest):
    def test_a_connection_that_names_no_branch_follows_use(self) -> None:
        self.run_pgtwig("use", "demo/dev")
        self.assertEqual(self.psql(HERE, self.parameters()), "dev")
        self.assertEqual(self.psql(HERE, self.parameters(dbname="postgres@main")), "main")
        session = self.session(self.parameters())
        self.assertEqual(session.say("SHOW pgtwig.branch;"), "demo/dev")
        self.run_pgtwig("use", "demo/main")
        self.assertEqual(self.psql(HERE, self.parameters()), "main")
        eventually(lambda: self.pgtwig.json("status")["endpoint"]["sessions"] == [{"branch": "demo/dev", "sessions": 1}],
                   "the others are over")
        # The one that is open stays where it is.
        self.assertEqual(session.say(f"{HERE};"), "dev")
        session.close()
        eventually(lambda: self.pgtwig.json("status")["endpoint"]["sessions"] == [], "the session is over")

    def test_a_branch_that_is_not_there_is_named(self) -> None:
        said = self.psql(HERE, self.parameters(dbname="postgres@demo/nope"), expect_failure=True)
        self.assertIn("branch demo/nope does not exist", said)
        self.assertIn("DETAIL:  connection ", said)
        self.assertIn("HINT:  ", said)
        both = self.psql(HERE, self.parameters(dbname="postgres@demo/dev", user="postgres@demo/main"), expect_failure=True)
        self.assertIn("two branches are asked for", both)


class DatabaseIsBranch(EndpointTest):
    proxy_config = "database_is_branch = true\n"

    def test_a_database_name_can_be_a_branch(self) -> None:
        self.assertEqual(self.psql("SELECT name, current_database() FROM here", self.parameters(dbname="dev")), "dev|postgres")
        self.assertEqual(self.psql(HERE, self.parameters(dbname="demo/main")), "main")
        self.assertIn("does not exist", self.psql(HERE, self.parameters(dbname="postgres"), expect_failure=True))


class Wake(EndpointTest):
    def wakes(self) -> list[dict]:
        return [one for one in self.pgtwig.json("operation", "list")["operations"] if one["kind"] == "branch wake"]

    def test_many_clients_wake_a_branch_with_one_start(self) -> None:
        self.run_pgtwig("branch", "suspend", "demo/dev")
        self.assertEqual(self.pgtwig.branches()["demo/dev"]["state"], "suspended")
        parameters = self.parameters(dbname="postgres@demo/dev")
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(lambda _: self.psql(HERE, parameters), range(30)))
        self.assertEqual(answers, ["dev"] * 30)
        self.assertEqual(len(self.wakes()), 1)
        self.pgtwig.assert_nothing_leaked()

    def test_a_branch_that_was_stopped_by_hand_stays_stopped(self) -> None:
        self.run_pgtwig("stop", "demo/dev")
        # However often somebody tries: that isn't counted as waking it.
        for _ in range(12):
            said = self.psql(HERE, self.parameters(dbname="postgres@demo/dev"), expect_failure=True)
            self.assertIn("demo/dev was stopped", said)
            self.assertIn("pgtwig start demo/dev", said)
        self.assertEqual(self.pgtwig.branches()["demo/dev"]["state"], "stopped")
        self.run_pgtwig("start", "demo/dev")
        self.run_pgtwig("branch", "suspend", "demo/dev")
        self.assertEqual(self.psql(HERE, self.parameters(dbname="postgres@demo/dev")), "dev")

    def test_why_a_branch_did_not_wake_reaches_the_client(self) -> None:
        # Asked before it is broken, in a session that is one's own.
        data = pathlib.Path(f"/proc/{self.pgtwig.branches()['demo/dev']['pid']}/cwd").resolve()
        self.run_pgtwig("branch", "suspend", "demo/dev")
        with open(data / "postgresql.auto.conf", "a") as file:
            file.write("work_mem = 'plenty'\n")
        said = self.psql(HERE, self.parameters(dbname="postgres@demo/dev"), expect_failure=True)
        self.assertIn("work_mem", said)
        self.assertIn("HINT:  ", said)

    def test_clients_are_let_in_before_the_wake_is_on_record_and_lose_nothing_when_the_daemon_dies(self) -> None:
        target = self.parameters(dbname="postgres@demo/dev")
        self.run_pgtwig("branch", "suspend", "demo/dev")
        self.pgtwig.kill_daemon()
        gate = self.pgtwig.base.path / "gate"
        self.pgtwig.start_daemon({"PGTWIG_FAULT": f"branch_wake.committing=pause:{gate}"})
        self.psql("INSERT INTO here VALUES ('written meanwhile')", target)
        self.assertEqual(self.psql("SELECT count(*) FROM here", target), "2")
        eventually(gate.exists, "the wake is about to be recorded")
        self.assertEqual(self.pgtwig.json("branch", "get", "demo/dev")["state"], "suspended")
        self.assertEqual(self.wakes()[0]["state"], "running")
        self.pgtwig.kill_daemon()

        self.pgtwig.start_daemon()
        self.assertEqual(self.psql("SELECT count(*) FROM here", target), "2")
        eventually(lambda: self.pgtwig.branches()["demo/dev"]["state"] == "running", "the wake is on record")
        self.pgtwig.assert_nothing_leaked()

    def test_a_wrong_password_wakes_a_branch_once_and_is_slowed_then(self) -> None:
        wrong = self.parameters(dbname="postgres@demo/dev", password="wrong")
        self.run_pgtwig("branch", "suspend", "demo/dev")
        self.assertIn("password authentication failed", self.psql(HERE, wrong, expect_failure=True))
        self.run_pgtwig("branch", "suspend", "demo/dev")
        # Whoever has the right one comes in after the pause, and clears the account.
        self.assertEqual(self.psql(HERE, self.parameters(dbname="postgres@demo/dev")), "dev")
        self.assertEqual(len(self.wakes()), 2)


class WhatIsNoUse(EndpointTest):
    def test_open_connections_that_do_nothing_let_a_branch_fall_asleep(self) -> None:
        target = self.parameters(dbname="postgres@demo/dev")
        pool = [self.session(target) for _ in range(5)]
        for session in pool:
            self.assertEqual(session.say(f"{HERE};"), "dev")
        self.assertEqual(pool[0].say("LISTEN news;"), "")
        folder = self.pgtwig.base.path / "received"
        folder.mkdir()
        replica = self.parameters(user="postgres@demo/dev")
        del replica["dbname"]
        # Each second they tell each other that they are alive.
        receiver = subprocess.Popen([str(postgres_programs() / "pg_receivewal"), "-D", str(folder), "--no-loop",
                                     "--status-interval=1", "-d", self.conninfo(replica)], stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True)
        self.addCleanup(receiver.communicate)
        self.addCleanup(receiver.kill)
        eventually(lambda: receiver.poll() is not None or any(folder.iterdir()), "it receives", 30)
        self.assertIsNone(receiver.poll())
        self.run_pgtwig("branch", "set", "demo/dev", "--suspend-after", "2s")

        # What pgtwig itself asks is no use either.
        def is_asleep() -> bool:
            self.run_pgtwig("status", "health", expect=None)
            self.run_pgtwig("status")
            return self.pgtwig.json("branch", "get", "demo/dev")["state"] == "suspended"

        eventually(is_asleep, "the branch sleeps", 60)
        receiver.wait(30)
        for session in pool:
            self.assertIn("terminating connection due to administrator command", session.say("SELECT 1;"))
        # And is there for the next one.
        self.assertEqual(self.psql(HERE, target), "dev")


class TwoHundred(EndpointTest):
    has_branches = False

    def test_two_hundred_sleeping_branches_wake_at_once_and_none_twice(self) -> None:
        # More ports than other tests have.
        self.pgtwig.config_file.write_text(self.pgtwig.config_file.read_text().replace(
            f"first = {self.pgtwig.ports.first}\nlast = {self.pgtwig.ports.last}", "first = 12000\nlast = 12999"))
        self.run_pgtwig("project", "create", "demo")
        self.password = self.run_pgtwig("branch", "password", "demo/main").out.strip()
        names = [f"demo/b{number}" for number in range(200)]

        def make(name: str) -> None:
            self.run_pgtwig("branch", "create", name, "--no-start")
            self.run_pgtwig("branch", "suspend", name)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(make, names))
        daemon = self.pgtwig.daemon_pid()
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(lambda name: self.psql("SHOW pgtwig.branch", self.parameters(
                dbname=f"postgres@{name}", connect_timeout="150")), names))
        self.assertEqual(answers, names)
        peak = next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{daemon}/status").read_text().splitlines()
                    if line.startswith("VmHWM"))
        self.assertLess(peak, 256 << 10, "kB of the daemon's memory")
        wakes = [one["target"] for one in self.pgtwig.json("operation", "list", "--limit", "1000")["operations"]
                 if one["kind"] == "branch wake"]
        self.assertEqual(sorted(wakes), sorted(names))
        # Longer than the end of a test may take.
        self.run_pgtwig("daemon", "stop", "--stop-all", timeout=200)


class Strangers(EndpointTest):
    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.addCleanup(connection.close)
        return connection

    def test_those_who_mean_no_good_hold_up_nobody(self) -> None:
        target = self.parameters(dbname="postgres@demo/dev")
        silent = [self.connect() for _ in range(100)]
        half_said = [self.connect() for _ in range(100)]
        for connection in half_said:
            connection.sendall(struct.pack(">II", 5000, 196608) + b"user\0")
        for _ in range(100):
            noise = self.connect()
            noise.sendall(os.urandom(200))
        oversized = self.connect()
        oversized.sendall(struct.pack(">II", 1 << 30, 196608) + b"x" * 65536)
        self.assertIn(b"08P01", oversized.recv(1000))
        self.assertEqual(self.psql(HERE, target), "dev")
        # They had ten seconds.
        for connection in silent + half_said:
            self.assertIn(b"waited too long", connection.recv(1000))
        self.assertEqual(self.psql(HERE, target), "dev")
        eventually(lambda: self.pgtwig.json("status")["endpoint"]["connections"] == 0, "all are gone")

    def test_what_strangers_say_is_no_line_of_the_log(self) -> None:
        self.psql(HERE, self.parameters(dbname="a\n2026-01-01T00:00:00.000Z error all is lost\x1b[31m\n@no such branch"),
                  expect_failure=True)
        log = (self.pgtwig.root / "log/daemon.log").read_bytes()
        self.assertIn(b"all is lost", log)
        self.assertEqual([line for line in log.splitlines() if line.startswith(b"2026-01-01") or b"\x1b" in line], [])

    def test_who_is_not_let_in_is_limited_by_address(self) -> None:
        crowd = [self.connect() for _ in range(1000)]
        refused = self.connect()
        self.assertIn(b"53300", refused.recv(1000))
        for connection in crowd:
            connection.close()
        eventually(lambda: self.pgtwig.json("status")["endpoint"]["connections"] == 0, "all are gone")
        self.assertEqual(self.psql(HERE, self.parameters(dbname="postgres@demo/dev")), "dev")

    def test_clients_that_vanish_leave_no_backend(self) -> None:
        self.assertEqual(self.psql(HERE, self.parameters(dbname="postgres@demo/dev")), "dev")
        sessions = [self.session(self.parameters(dbname="postgres@demo/dev")) for _ in range(10)]
        eventually(lambda: sum(one["sessions"] for one in self.pgtwig.json("status")["endpoint"]["sessions"]) == 10,
                   "all are in")
        for session in sessions:
            session.close()
        eventually(lambda: self.sql("demo/dev", "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                                                "AND application_name = 'psql' AND pid <> pg_backend_pid()") == "0",
                   "their backends are gone")

    def test_an_instance_that_dies_ends_its_sessions(self) -> None:
        session = subprocess.Popen([str(postgres_programs() / "psql"), "-XAtq", "-d",
                                    self.conninfo(self.parameters(dbname="postgres@demo/dev")), "-c", "SELECT pg_sleep(100), 'slow'"],
                                   text=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        eventually(lambda: self.backends("demo/dev", "slow") == 1, "it is in")
        self.run_pgtwig("stop", "demo/dev")
        said = session.communicate(timeout=30)[1]
        # PostgreSQL's own last words arrive.
        self.assertIn("terminating connection due to administrator command", said)


class Certificates(EndpointTest):
    def make_certificate(self) -> None:
        if not shutil.which("openssl"):
            self.skipTest("the program openssl is missing")
        for name in ("server.key", "server.crt"):
            (self.folder / name).unlink(missing_ok=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=pg.example.org", "-addext", "subjectAltName=DNS:pg.example.org", "-keyout",
                        str(self.folder / "server.key"), "-out", str(self.folder / "server.crt")], check=True, capture_output=True)

    def install(self):
        installation = super().install()
        self.folder = installation.base.path / "certificate"
        self.folder.mkdir()
        self.make_certificate()
        installation.write_config(f"[proxy]\nenabled = true\nport = {self.port}\ndomain = \"pg.example.org\"\n"
                                  f"tls_certificate = \"{self.folder}/server.crt\"\ntls_key = \"{self.folder}/server.key\"\n")
        return installation

    def test_ones_own_certificate_is_read_again_without_dropping_a_session(self) -> None:
        def target() -> dict[str, str]:
            return self.parameters(host="pg.example.org", hostaddr="127.0.0.1", sslmode="verify-full",
                                   sslrootcert=str(self.folder / "server.crt"), dbname="postgres@demo/dev")

        session = self.session(target())
        self.assertEqual(session.say(f"{HERE};"), "dev")
        self.make_certificate()

        def is_in_use() -> bool:
            done = subprocess.run([str(postgres_programs() / "psql"), "-XAtq", "-d", self.conninfo(target()), "-c", HERE],
                                  capture_output=True, text=True)
            return done.stdout == "dev\n"

        eventually(is_in_use, "the new certificate is in use")
        self.assertEqual(session.say(f"{HERE};"), "dev")


class TakenPort(EndpointTest):
    def install(self):
        installation = super().install()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.addCleanup(self.listener.close)
        return installation

    def test_a_taken_port_leaves_the_rest_of_the_daemon_at_work(self) -> None:
        self.assertIn("not listening: somebody listens on 127.0.0.1 port", self.run_pgtwig("status").out)
        self.assertIn("the endpoint is not listening", self.run_pgtwig("status", "health").out)
        refused = self.run_pgtwig("branch", "url", "demo/dev", "--proxy", expect=5)
        self.assertIn("hint: ", refused.err)
        self.assertEqual(self.sql("demo/dev", HERE), "dev")
