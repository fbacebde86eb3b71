"""The daemon comes when it is needed, is alone on its root, and its death is nobody else's."""

import fcntl
import os
import pathlib
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from harness import machine
from harness.case import SystemTest
from harness.installation import Installation, binary, eventually, postgres_programs


class Daemon(SystemTest):
    def test_two_callers_start_one_daemon(self) -> None:
        callers = [self.pgtwig.start("project", "list", "-o", "json") for _ in range(6)]
        for caller in callers:
            _, said = caller.communicate(timeout=60)
            self.assertEqual(caller.returncode, 0, said)
        daemons = [one for one in machine.processes_of(self.pgtwig.base.path) if "daemon" in one.command]
        self.assertEqual([one.pid for one in daemons], [self.pgtwig.daemon_pid()])

    def test_a_second_daemon_on_one_root_is_refused(self) -> None:
        self.pgtwig.start_daemon()
        first = self.pgtwig.daemon_pid()
        refused = self.run_pgtwig("daemon", "run", expect=5, timeout=30)
        self.assertIn("hint: ", refused.err)
        self.assertEqual(self.pgtwig.daemon_pid(), first)
        self.assertTrue(self.pgtwig.answers())

    def test_the_command_line_waits_for_no_library_but_those_that_it_does_not_carry(self) -> None:
        # Those that it names itself: what they need in turn differs from one Debian to the next.
        headers = subprocess.run(["readelf", "-d", str(binary())], capture_output=True, text=True, check=True).stdout
        libraries = set(re.findall(r"\(NEEDED\).*\[(lib\w+)\.so", headers))
        self.assertEqual(libraries, {"libc", "libm", "libssl", "libcrypto", "libbtrfsutil"})

    def test_two_installations_never_meet(self) -> None:
        other = self.install()
        self.run_pgtwig("project", "create", "demo")
        other.pgtwig("project", "create", "demo")
        other.pgtwig("branch", "create", "demo/theirs")
        self.assertEqual(set(self.pgtwig.branches()), {"demo/main"})
        self.run_pgtwig("daemon", "stop", "--stop-all")
        self.assertEqual(other.sql("demo/theirs", "SELECT 1"), "1")
        other.assert_nothing_leaked()

    def test_nothing_deleted_runs_on_when_the_daemon_is_stopped(self) -> None:
        # What is deleted is ended one by one; after the first, it waits until the file is gone.
        here = pathlib.Path(self.pgtwig.work) / "here"
        daemon = self.pgtwig.start_daemon({"PGTWIG_FAULT": f"sweep.instance_gone=pause:{here}"})
        self.run_pgtwig("project", "create", "demo")
        names = ["demo/old", *(f"demo/old{number}" for number in range(5))]
        for name in names:
            self.run_pgtwig("branch", "create", name, *([] if name == "demo/old" else ["--from", "demo/old"]))
        urls = {name: self.pgtwig.url(name) for name in ["demo/main", *names]}
        self.run_pgtwig("branch", "delete", "demo/old", "--cascade")
        eventually(here.exists, "the first is gone", 30)
        daemon.terminate()
        eventually(lambda: not self.pgtwig.answers(), "the daemon is ending", 30)
        here.unlink()
        self.assertEqual(daemon.wait(60), 0)
        # What isn't deleted goes on.
        psql = [str(postgres_programs() / "psql"), "-c", "SELECT 1"]
        reached = [name for name, url in urls.items() if subprocess.run([*psql, url], capture_output=True).returncode == 0]
        self.assertEqual(reached, ["demo/main"])
        self.run_pgtwig("project", "delete", "demo", "--force")
        self.pgtwig.assert_nothing_leaked()

    def test_an_upload_does_not_hold_up_the_daemons_end(self) -> None:
        daemon = self.pgtwig.start_daemon()
        create = self.pgtwig.start("project", "create", "up", "--from-dump", "-", stdin=subprocess.PIPE)
        self.addCleanup(create.kill)
        create.stdin.write("CREATE TABLE t (n int);\n")
        create.stdin.flush()

        def is_uploading() -> bool:
            open_files = [os.readlink(f"/proc/{daemon.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{daemon.pid}/fd")]
            return any(name.startswith(str(self.pgtwig.root)) and name.endswith("(deleted)") for name in open_files)

        eventually(is_uploading, "the upload has begun", 30)
        self.run_pgtwig("daemon", "stop", timeout=30)
        self.assertEqual(daemon.wait(10), 0)
        _, said = create.communicate("INSERT INTO t VALUES (1);\n" * 100_000, timeout=60)
        self.assertEqual(create.returncode, 2, said)
        self.assertIn("the daemon was stopped", said)
        self.assertEqual(self.pgtwig.json("project", "list")["projects"], [])

    def test_a_daemon_that_is_still_ending_is_not_said_to_be_starting(self) -> None:
        self.run_pgtwig("project", "list")
        pid = self.pgtwig.daemon_pid()
        self.run_pgtwig("daemon", "stop")
        with open(self.pgtwig.root / "run/daemon.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (self.pgtwig.root / "run/daemon.pid").write_text(f"{pid}\n")
            said = self.run_pgtwig("project", "list", expect=2).err
        self.assertIn(f"another daemon (pid {pid}) is still ending", said)
        self.assertNotIn("starting", said)

    def test_a_daemon_serves_while_it_removes_what_its_predecessor_left(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        self.run_pgtwig("branch", "create", "demo/old")
        self.run_pgtwig("branch", "create", "demo/older", "--from", "demo/old")
        urls = [self.pgtwig.url(name) for name in ("demo/old", "demo/older")]
        self.run_pgtwig("daemon", "stop")
        self.pgtwig.start_daemon({"PGTWIG_FAULT": "branch_delete.committed=kill"})
        self.run_pgtwig("branch", "delete", "demo/old", "--cascade", expect=None)
        self.assertEqual([self.pgtwig.sql_at(url, "SELECT 1") for url in urls], ["1", "1"])
        # The next one has removed neither while this file is there, but nobody reaches them, and their ports are free.
        here = pathlib.Path(self.pgtwig.work) / "here"
        daemon = self.pgtwig.start_daemon({"PGTWIG_FAULT": f"sweep.instance_gone=pause:{here}"})
        eventually(here.exists, "it is at the first", 30)
        self.assertEqual(len(self.pgtwig.catalog_column("SELECT volume FROM sweep_list")), 2)
        for url in urls:
            self.pgtwig.sql_at(url, "SELECT 1", expect_failure=True)
        for number, url in enumerate(urls):
            self.run_pgtwig("branch", "create", f"demo/new{number}", "--port", str(urllib.parse.urlsplit(url).port))
        self.assertEqual(set(self.pgtwig.branches()), {"demo/main", "demo/new0", "demo/new1"})
        daemon.terminate()
        eventually(lambda: not self.pgtwig.answers(), "the daemon is ending", 30)
        here.unlink()
        self.assertEqual(daemon.wait(60), 0)
        self.pgtwig.assert_nothing_leaked()

    def test_kill_9_during_pgbench_on_three_branches_is_noticed_by_no_client(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        pgbench = str(postgres_programs() / "pgbench")
        subprocess.run([pgbench, "-iq", "-s", "2", self.pgtwig.url("demo/main")], check=True, capture_output=True)
        names = ["demo/main", "demo/a", "demo/b"]
        for name in names[1:]:
            self.run_pgtwig("branch", "create", name)
        before = {name: branch["pid"] for name, branch in self.pgtwig.branches().items()}
        # Rate-limited, so that two cores are not simply full.
        loads = [subprocess.Popen([pgbench, "-n", "-c", "4", "-R", "100", "-T", "8", self.pgtwig.url(name)], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) for name in names]
        eventually(lambda: all(int(self.sql(name, "SELECT count(*) FROM pgbench_history")) > 50 for name in names),
                   "the load is on", 30)
        self.pgtwig.kill_daemon()
        self.assertTrue(all(load.poll() is None for load in loads), "the load ended too early to show anything")
        after = {name: branch["pid"] for name, branch in self.pgtwig.branches().items()}
        self.assertEqual(after, before)
        for load in loads:
            out, err = load.communicate(timeout=60)
            self.assertEqual(load.returncode, 0, err)
            self.assertIn("number of failed transactions: 0 (0.000%)", out)
            self.assertNotIn("error", err)
        for name in names:
            self.assertEqual(self.sql(name, "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM "
                                            "pgbench_history)"), "t")
        self.pgtwig.assert_nothing_leaked()

    def test_a_killed_postmaster_is_shown_and_can_be_started_again(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        self.run_pgtwig("branch", "create", "demo/dev")
        self.sql("demo/dev", "CREATE TABLE t AS SELECT 1 AS n")
        branch = self.pgtwig.branches()["demo/dev"]
        os.kill(branch["pid"], signal.SIGKILL)
        eventually(lambda: self.pgtwig.branches()["demo/dev"]["state"] != "running", "the death is shown", 10)
        self.assertEqual(self.pgtwig.branches()["demo/dev"]["state"], "failed")
        self.assertEqual(self.pgtwig.branches()["demo/main"]["state"], "running")
        eventually(lambda: self.run_pgtwig("start", "demo/dev", expect=None).status == 0, "it starts again", 30)
        after = self.pgtwig.branches()["demo/dev"]
        self.assertEqual((after["state"], after["port"]), ("running", branch["port"]))
        self.assertEqual(self.sql("demo/dev", "SELECT n FROM t"), "1")
        self.pgtwig.assert_nothing_leaked()

    def test_after_the_machine_was_down_running_branches_return_on_their_ports(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        for name in ("demo/a", "demo/b", "demo/stopped"):
            self.run_pgtwig("branch", "create", name)
        self.run_pgtwig("stop", "demo/stopped")
        self.sql("demo/a", "CREATE TABLE t AS SELECT 7 AS n")
        ports = {name: branch["port"] for name, branch in self.pgtwig.branches().items()}
        # What a power failure leaves of processes and run files; what it does to unwritten blocks is the file system's.
        for one in machine.processes_of(self.pgtwig.base.path):
            one.signal(signal.SIGKILL)
        eventually(lambda: not machine.processes_of(self.pgtwig.base.path), "everything is dead", 20)
        self.pgtwig.file_system.unmount()
        self.pgtwig.file_system.mount()
        states = {"demo/main": "running", "demo/a": "running", "demo/b": "running", "demo/stopped": "stopped"}
        eventually(lambda: {name: branch["state"] for name, branch in self.pgtwig.branches().items()} == states,
                   "what ran runs, what was stopped is stopped", 60)
        self.assertEqual({name: branch["port"] for name, branch in self.pgtwig.branches().items()}, ports)
        self.assertEqual(self.sql("demo/a", "SELECT n FROM t"), "7")
        self.pgtwig.assert_nothing_leaked()

    def test_a_stale_pid_file_and_socket_are_in_nobodys_way(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        self.pgtwig.kill_daemon()
        bystander = subprocess.Popen(["sleep", "300"])
        try:
            (self.pgtwig.root / "run/daemon.pid").write_text(f"{bystander.pid}\n")
            self.assertEqual(list(self.pgtwig.branches()), ["demo/main"])
            self.run_pgtwig("daemon", "stop")
            self.assertIsNone(bystander.poll(), "a process that took the number was ended")
        finally:
            bystander.kill()
            bystander.wait()

    def test_an_instance_that_only_looks_like_ours_is_not_adopted(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        pid = self.pgtwig.branches()["demo/main"]["pid"]
        self.pgtwig.kill_daemon()
        os.kill(pid, signal.SIGQUIT)
        eventually(lambda: machine.process(pid) is None, "the postmaster ended", 20)
        bystander = subprocess.Popen(["sleep", "300"])
        try:
            # The number was given to somebody else; the data directory's pid file still names it.
            data = next(self.pgtwig.root.rglob("PG_VERSION")).parent
            lines = [str(bystander.pid), str(data), "1", "1", "", "127.0.0.1", "", "ready"]
            (data / "postmaster.pid").write_text("\n".join(lines) + "\n")
            eventually(lambda: self.pgtwig.branches()["demo/main"]["state"] == "running", "it was started again", 30)
            self.assertNotEqual(self.pgtwig.branches()["demo/main"]["pid"], bystander.pid)
            self.run_pgtwig("stop", "demo/main")
            self.assertIsNone(bystander.poll(), "a process that took the number was ended")
        finally:
            bystander.kill()
            bystander.wait()


class Metrics(SystemTest):
    def install(self) -> Installation:
        installation = super().install()
        self.port = installation.ports.last
        installation.write_config(f"[metrics]\nenabled = true\nport = {self.port}\n")
        return installation

    def test_prometheus_reads_the_metrics_and_nothing_else(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
            self.assertIn('\npgtwig_branches{state="running"} 1\n', answer.read().decode())
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/projects", timeout=60)
        self.assertEqual(refused.exception.code, 404)
        refused.exception.close()

    def test_a_daemon_whose_port_is_taken_does_without(self) -> None:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", self.port))
            taken.listen()
            said = self.run_pgtwig("status").out
            self.assertIn(f"! the metrics are not served: somebody listens on 127.0.0.1 port {self.port} already\n", said)
            self.assertIn("metrics are not served", self.pgtwig.log_tail())


class OrdinaryUsersDaemon(SystemTest):
    file_system = "host"
    user = "ordinary"

    def test_an_ordinary_users_instances_outlive_their_daemon(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        self.run_pgtwig("branch", "create", "demo/dev")
        pids = {name: branch["pid"] for name, branch in self.pgtwig.branches().items()}
        self.pgtwig.kill_daemon()
        self.assertEqual({name: branch["pid"] for name, branch in self.pgtwig.branches().items()}, pids)
        self.pgtwig.assert_nothing_leaked()
