"""Branches in containers: what goes wrong with an engine, and that nothing is lost by it."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import containers, machine
from harness.case import SystemTest
from harness.installation import Installation, Unsupported, eventually, postgres_programs


class InContainers(SystemTest):
    runtime = ""

    def install(self) -> Installation:
        try:
            installation = Installation(runtime=self.runtime)
        except Unsupported as reason:
            self.skipTest(str(reason))
        self.addCleanup(self._remove, installation)
        return installation

    @property
    def engine(self) -> containers.Engine:
        return self.pgtwig.engine

    def make_demo(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE kept AS SELECT 42 AS n")

    def state(self, branch: str = "demo/main") -> str:
        return self.pgtwig.branches()[branch]["state"]

    def container(self, branch: str = "demo/main") -> str:
        project, name = branch.split("/", 1)
        (incarnation,) = self.pgtwig.catalog_column(
            "SELECT branches.incarnation FROM branches JOIN projects ON projects.id = branches.project "
            f"WHERE projects.name = '{project}' AND branches.name = '{name}'")
        return f"pgtwig-{incarnation}"

    def assert_kept(self) -> None:
        self.assertEqual(self.sql("demo/main", "SELECT n FROM kept"), "42")

    def assert_fails_and_starts_again(self, what: str) -> None:
        """The state is right as soon as anybody can look: a process that ends is seen by its end, not by asking again and again."""
        eventually(lambda: self.state() == "failed", f"the branch is seen to have failed: {what}", 10)
        self.run_pgtwig("start", "demo/main")
        self.assertEqual(self.state(), "running")
        self.assert_kept()


class InPodman(InContainers):
    runtime = "podman"

    def monitors(self) -> list:
        return [one for one in machine.processes_of(self.pgtwig.base.path) if one.command and "conmon" in one.command.split()[0]]

    def test_what_is_done_to_a_container_of_podman_is_seen_at_once(self) -> None:
        self.make_demo()
        self.engine.run("rm", "--force", "--time", "0", self.container())
        self.assert_fails_and_starts_again("rm")
        self.engine.run("kill", self.container())
        self.assert_fails_and_starts_again("kill")
        # Podman has no daemon; what watches its container can die, and the container lives on.
        # Those of the containers before may still be tidying up.
        eventually(lambda: len(self.monitors()) == 1, "one monitor is left", 10)
        os.kill(self.monitors()[0].pid, signal.SIGKILL)
        self.assertEqual(self.state(), "running")
        self.assert_kept()
        self.run_pgtwig("restart", "demo/main")
        self.assert_kept()


class InDocker(InContainers):
    runtime = "docker"

    def test_containers_outlive_the_daemon(self) -> None:
        self.make_demo()
        before = self.pgtwig.branches()["demo/main"]
        self.pgtwig.kill_daemon()
        after = self.pgtwig.branches()["demo/main"]
        self.assertEqual((after["state"], after["pid"]), ("running", before["pid"]))
        self.assert_kept()
        self.assertEqual(self.engine.containers(), [self.container()])

    def test_what_happened_while_no_daemon_ran_is_mended_by_the_next(self) -> None:
        self.make_demo()
        before = self.pgtwig.branches()["demo/main"]["pid"]
        self.pgtwig.kill_daemon()
        self.engine.run("rm", "--force", self.container())
        # What should run is started by a daemon that finds it ended.
        eventually(lambda: self.state() == "running", "the branch runs again")
        self.assertNotEqual(self.pgtwig.branches()["demo/main"]["pid"], before)
        self.run_pgtwig("start", "demo/main")  # which waits for the start that is under way
        self.assert_kept()

    def test_an_engine_that_is_restarted_ends_branches_cleanly(self) -> None:
        self.make_demo()
        self.engine.stop()
        eventually(lambda: self.state() == "failed", "the branch is seen to have ended", 10)
        failed = self.run_pgtwig("project", "create", "other", expect=1)
        self.assertIn("dockerd does not run", failed.err)
        self.engine.start()
        self.run_pgtwig("start", "demo/main")
        self.assert_kept()
        self.assertIn("database system was shut down at", self.run_pgtwig("branch", "logs", "demo/main").out)

    def test_a_port_of_the_machine_that_is_taken_is_skipped_or_named(self) -> None:
        self.make_demo()
        self.run_pgtwig("stop", "demo/main")
        port = self.pgtwig.branches()["demo/main"]["port"]
        with socket.create_server(("127.0.0.1", port)):
            failed = self.run_pgtwig("start", "demo/main", expect=5)
            self.assertIn(f"port {port} of demo/main is taken by another program", failed.err)
        self.run_pgtwig("start", "demo/main")
        with socket.create_server(("127.0.0.1", port + 1)):
            self.run_pgtwig("branch", "create", "demo/dev")
            self.assertEqual(self.pgtwig.branches()["demo/dev"]["port"], port + 2)

    def test_a_dead_engine_stops_nobody_and_its_return_loses_nothing(self) -> None:
        self.make_demo()
        self.run_pgtwig("branch", "create", "demo/dev")
        self.engine.kill()
        self.assertEqual(self.state(), "running")
        self.assert_kept()
        # PostgreSQL ends cleanly without the engine; a start needs one, and says so.
        self.run_pgtwig("stop", "demo/dev")
        failed = self.run_pgtwig("start", "demo/dev", expect=1)
        self.assertIn("dockerd does not run", failed.err)
        self.assertIn("hint: start it", failed.err)
        self.engine.start()
        # An engine that comes back ends what it does not keep alive.
        self.assert_fails_and_starts_again("the engine came back")
        self.run_pgtwig("start", "demo/dev")
        self.assertEqual(self.sql("demo/dev", "SELECT n FROM kept"), "42")

    def test_one_removed_behind_our_back_is_seen_at_once_and_starts_again(self) -> None:
        self.make_demo()
        self.engine.run("rm", "--force", self.container())
        self.assert_fails_and_starts_again("rm")
        self.engine.run("kill", self.container())
        self.assert_fails_and_starts_again("kill")

    def test_a_foreign_container_of_that_name_is_left_alone(self) -> None:
        self.make_demo()
        name = self.container()
        self.run_pgtwig("stop", "demo/main")
        image = f"postgres:{postgres_programs().parent.name}"
        self.engine.run("create", "--name", name, "--entrypoint", "sleep", "--network", "none", image, "1")
        failed = self.run_pgtwig("start", "demo/main", expect=5)
        self.assertIn("pgtwig did not make it", failed.err)
        self.assertEqual(self.engine.containers(), [name])
        self.engine.run("rename", name, "foreign")
        self.run_pgtwig("start", "demo/main")
        self.assert_kept()

    def test_an_image_that_is_gone_can_be_replaced(self) -> None:
        self.make_demo()
        self.run_pgtwig("stop", "demo/main")
        reference = f"postgres:{postgres_programs().parent.name}"
        self.engine.run("rmi", "--force", reference)
        failed = self.run_pgtwig("start", "demo/main", expect=3)
        self.assertIn("no longer has the image", failed.err)
        failed = self.run_pgtwig("project", "create", "other", expect=3)
        self.assertIn(f"docker has no image {reference}", failed.err)
        self.engine.build()
        self.run_pgtwig("project", "runtime", "demo", "docker")
        self.run_pgtwig("start", "demo/main")
        self.assert_kept()

    def test_a_create_that_dies_leaves_no_container(self) -> None:
        self.make_demo()
        for point in ("container.recorded", "container.started"):
            self.pgtwig.kill_daemon()
            self.pgtwig.start_daemon(environment={"PGTWIG_FAULT": f"{point}=kill"})
            self.run_pgtwig("branch", "create", "demo/dev", expect=None)
            eventually(lambda: self.pgtwig.daemon_pid() is None, "the daemon died", 60)
            self.assertEqual(list(self.pgtwig.branches()), ["demo/main"])
            eventually(lambda: self.engine.containers() == [self.container()], "the container is swept")
        self.assert_kept()

    def test_limits_hold_and_can_be_taken_away(self) -> None:
        self.make_demo()
        self.run_pgtwig("branch", "create", "demo/dev", "--cpus", "1.5", "--memory", "256MB")
        limits = "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}"
        self.assertEqual(self.engine.run("inspect", "-f", limits, self.container("demo/dev")), "1500000000 268435456")
        self.run_pgtwig("restart", "demo/dev", "--memory", "none")
        self.assertEqual(self.engine.run("inspect", "-f", limits, self.container("demo/dev")), "1500000000 0")
        self.run_pgtwig("branch", "create", "demo/bad", "--memory", "1MB", expect=1)

    def test_a_project_moves_to_native_and_back_with_its_data(self) -> None:
        self.make_demo()
        self.run_pgtwig("project", "runtime", "demo", "native")
        self.assertEqual(self.engine.containers(), [])
        self.assertEqual(self.pgtwig.branches()["demo/main"]["runtime"], "native")
        self.assert_kept()
        failed = self.run_pgtwig("branch", "create", "demo/dev", "--cpus", "1", expect=1)
        self.assertIn("runtime native cannot limit", failed.err)
        self.run_pgtwig("project", "runtime", "demo", "docker")
        self.assertEqual(self.engine.containers(), [self.container()])
        self.assert_kept()

    def test_another_collation_library_has_to_be_accepted(self) -> None:
        self.make_demo()
        self.run_pgtwig("snapshot", "create", "demo/main", "before")
        self.run_pgtwig("stop", "demo/main")
        for volume in self.pgtwig.pool_directories()[0].glob("*/ran_by"):
            server, _ = volume.read_text().split("\n", 1)
            volume.write_text(f"{server}\nmusl")
        failed = self.run_pgtwig("project", "runtime", "demo", "native", expect=5)
        self.assertIn("were made with musl", failed.err)
        self.assertIn("--accept-collation-change", failed.err)
        self.assertEqual(self.pgtwig.branches()["demo/main"]["runtime"], "docker")
        moved = self.run_pgtwig("project", "runtime", "demo", "native", "--accept-collation-change")
        self.assertIn("REINDEX", moved.err)
        self.run_pgtwig("start", "demo/main")
        self.run_pgtwig("branch", "create", "demo/old", "--at", "before")
        self.assertEqual(self.sql("demo/old", "SELECT n FROM kept"), "42")

    def owners(self, branch: str) -> set[str]:
        """Of all files of the branch's data directory, which the server can only use when they are its own."""
        data = pathlib.Path(self.pgtwig.sql(branch, "SHOW data_directory"))
        owners = set()
        for path in [data, *data.rglob("*")]:
            try:
                owners.add(path.owner())
            except FileNotFoundError:  # the server runs, and has files that come and go
                pass
        return owners

    def test_images_of_other_layouts_and_users_run_the_same_volume(self) -> None:
        official = self.engine.build("-official")
        alpine = self.engine.build("-alpine")
        self.run_pgtwig("project", "create", "demo", "--image", official)
        self.sql("demo/main", "CREATE TABLE kept AS SELECT 42 AS n")
        self.run_pgtwig("snapshot", "create", "demo/main", "before")
        self.assertEqual(self.owners("demo/main"), {"pgtwig-pg"})
        self.run_pgtwig("project", "runtime", "demo", "native")
        self.assert_kept()
        self.assertEqual(self.owners("demo/main"), {"pgtwig-pg"})
        # Its texts are sorted by another C library, as the image itself says: nothing is stopped for what is refused.
        before = self.pgtwig.branches()["demo/main"]["pid"]
        failed = self.run_pgtwig("project", "runtime", "demo", "docker", "--image", alpine, expect=5)
        self.assertIn("sorts with musl", failed.err)
        self.assertIn("silently be wrong", failed.err)
        self.assertEqual(self.pgtwig.branches()["demo/main"]["pid"], before)
        moved = self.run_pgtwig("project", "runtime", "demo", "docker", "--image", alpine, "--accept-collation-change")
        self.assertNotIn("did not start", moved.err)
        self.assert_kept()
        self.assertEqual(self.owners("demo/main"), {"pgtwig-pg"})
        self.run_pgtwig("branch", "create", "demo/old", "--at", "before")
        self.assertEqual(self.sql("demo/old", "SELECT n FROM kept"), "42")
        # And one that was made by it.
        self.run_pgtwig("project", "create", "other", "--image", alpine)
        self.sql("other/main", "CREATE TABLE kept AS SELECT 7 AS n")
        failed = self.run_pgtwig("project", "runtime", "other", "docker", "--image", official, expect=5)
        self.assertIn("were made with musl", failed.err)
        self.run_pgtwig("project", "runtime", "other", "docker", "--image", official, "--accept-collation-change")
        self.assertEqual(self.sql("other/main", "SELECT n FROM kept"), "7")
        self.assertEqual(self.owners("other/main"), {"pgtwig-pg"})

    def test_a_stand_in_for_nerdctl_runs_a_whole_life(self) -> None:
        # No package has nerdctl: what is tested is that its program is called, by the command line that docker shares.
        stand_in = self.pgtwig.programs / "nerdctl"
        stand_in.write_text(f'#!/bin/sh\necho "$@" >>{self.pgtwig.work}/calls\nexec {containers.DOCKER} "$@"\n')
        stand_in.chmod(0o755)
        self.run_pgtwig("project", "create", "demo", "--runtime", "nerdctl")
        self.run_pgtwig("branch", "create", "demo/dev")
        self.sql("demo/dev", "CREATE TABLE kept AS SELECT 42 AS n")
        self.run_pgtwig("restart", "demo/dev")
        self.assertEqual(self.sql("demo/dev", "SELECT n FROM kept"), "42")
        self.run_pgtwig("project", "delete", "demo", "--force", "--yes")
        self.pgtwig.assert_nothing_leaked()
        self.assertEqual(self.engine.containers(), [])
        self.run_pgtwig("project", "create", "demo", "--runtime", "nerdctl")
        self.sql("demo/main", "CREATE TABLE kept AS SELECT 42 AS n")
        # Without its program, what runs goes on, and what doesn't says why.
        stand_in.rename(self.pgtwig.work / "away")
        self.assert_kept()
        self.run_pgtwig("stop", "demo/main")
        failed = self.run_pgtwig("start", "demo/main", expect=1)
        self.assertIn("the program 'nerdctl' is not installed", failed.err)
        (self.pgtwig.work / "away").rename(stand_in)
        self.run_pgtwig("project", "runtime", "demo", "native")
        self.run_pgtwig("start", "demo/main")
        self.assert_kept()
        verbs = {line.split()[0] for line in (self.pgtwig.work / "calls").read_text().splitlines()}
        self.assertEqual(verbs, {"image", "run", "container", "logs", "rm"})


class Bridged(SystemTest):
    """Branches whose containers have a network of their own and are reached by a port published on 127.0.0.1."""

    runtime = ""

    def install(self) -> Installation:
        try:
            installation = Installation(runtime=self.runtime, network="bridge")
        except Unsupported as reason:
            self.skipTest(str(reason))
        self.addCleanup(self._remove, installation)
        return installation

    def run_a_life(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE kept AS SELECT 42 AS n")
        self.run_pgtwig("branch", "create", "demo/dev")
        self.assertEqual(self.sql("demo/dev", "SELECT n FROM kept"), "42")
        # The server has an address of its own, which is not the machine's.
        self.assertNotIn(self.sql("demo/dev", "SELECT host(inet_server_addr())"), ("127.0.0.1", ""))
        port = self.pgtwig.branches()["demo/dev"]["port"]
        listeners = [line.split()[3] for line in subprocess.run(["ss", "-Hltn"], capture_output=True, text=True).stdout.splitlines()]
        self.assertEqual([address for address in listeners if address.endswith(f":{port}")], [f"127.0.0.1:{port}"])
        self.sql("demo/dev", "INSERT INTO kept VALUES (43)")
        self.run_pgtwig("branch", "reset", "demo/dev")
        self.run_pgtwig("restart", "demo/dev")
        self.assertEqual(self.sql("demo/dev", "SELECT count(*) FROM kept"), "1")
        wrong = self.pgtwig.url("demo/dev").replace("postgres:", "postgres:wrong", 1)
        self.assertIn("password authentication failed", self.pgtwig.sql_at(wrong, "SELECT 1", expect_failure=True))


class BridgedByDocker(Bridged):
    runtime = "docker"

    def test_bridged_containers_are_reached_by_their_published_port(self) -> None:
        self.run_a_life()

    def test_a_published_port_that_is_taken_is_skipped_or_named(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        self.run_pgtwig("stop", "demo/main")
        port = self.pgtwig.branches()["demo/main"]["port"]
        with socket.create_server(("127.0.0.1", port)):
            failed = self.run_pgtwig("start", "demo/main", expect=5)
            self.assertIn(f"port {port} of demo/main is taken by another program", failed.err)
            self.assertIn("hint: `pgtwig start demo/main --port N`", failed.err)
        self.run_pgtwig("start", "demo/main")
        with socket.create_server(("127.0.0.1", port + 1)):
            self.run_pgtwig("branch", "create", "demo/dev")
            self.assertEqual(self.pgtwig.branches()["demo/dev"]["port"], port + 2)


class BridgedByPodman(Bridged):
    runtime = "podman"

    def test_bridged_containers_of_podman_are_reached_by_their_published_port(self) -> None:
        self.run_a_life()


class Rootless(SystemTest):
    """Podman for an ordinary user, who has subordinate ids as every user that Debian's useradd makes."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("needs root, to make a user")
        self.account = f"pgt{os.getpid()}"
        made = subprocess.run(["useradd", "--no-create-home", "--home-dir", "/nonexistent", self.account], capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.addCleanup(subprocess.run, ["userdel", self.account], capture_output=True)
        super().setUp()

    def install(self) -> Installation:
        try:
            installation = Installation(fs="host", user="ordinary", runtime="podman", account=self.account)
        except Unsupported as reason:
            self.skipTest(str(reason))
        self.addCleanup(self._remove, installation)
        return installation

    def test_rootless_podman_runs_a_whole_life(self) -> None:
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE kept AS SELECT 42 AS n")
        self.run_pgtwig("branch", "create", "demo/dev")
        self.assertEqual(self.sql("demo/dev", "SELECT n FROM kept"), "42")
        self.run_pgtwig("restart", "demo/main")
        self.run_pgtwig("branch", "reset", "demo/dev")
        # The volume's owner stays who it was, so that the project can move.
        self.run_pgtwig("project", "runtime", "demo", "native")
        self.assertEqual(self.sql("demo/dev", "SELECT n FROM kept"), "42")
        self.assertEqual(self.pgtwig.engine.containers(), [])


class WithoutRights(SystemTest):
    """An ordinary user, and a dockerd that is root's."""

    def install(self) -> Installation:
        try:
            installation = Installation(fs="host", user="ordinary")
            self.addCleanup(self._remove, installation)
            installation.engine = containers.Docker(installation.base.path, postgres_programs())
        except (Unsupported, containers.NotAvailable) as reason:
            self.skipTest(str(reason))
        installation.environment |= installation.engine.environment()
        return installation

    def test_an_engine_that_one_may_not_use_says_so(self) -> None:
        failed = self.run_pgtwig("project", "create", "demo", "--runtime", "docker", expect=9)
        self.assertIn("this user may not use docker: ", failed.err)
        self.assertIn("hint: as root: usermod -aG docker USER", failed.err)
        # Those that one may use do as well as ever.
        self.run_pgtwig("project", "create", "demo")
        failed = self.run_pgtwig("project", "runtime", "demo", "docker", expect=9)
        self.assertEqual(self.pgtwig.branches()["demo/main"]["state"], "running")
        self.assertEqual(self.pgtwig.branches()["demo/main"]["runtime"], "native")


class Natively(SystemTest):
    def test_an_engine_that_is_not_there_is_named(self) -> None:
        failed = self.run_pgtwig("project", "create", "demo", "--runtime", "nerdctl", expect=1)
        self.assertIn("the program 'nerdctl' is not installed", failed.err)
        failed = self.run_pgtwig("project", "create", "demo", "--image", "postgres:1", expect=1)
        self.assertIn("runs what is installed on this machine", failed.err)
        self.pgtwig.assert_nothing_leaked()


if __name__ == "__main__":
    unittest.main()
