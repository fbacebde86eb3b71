"""Full, read-only and missing file systems: nothing is lost, nothing half-made is listed, and all works again afterwards."""

import os

from harness.case import SystemTest
from harness.installation import eventually
from harness.machine import ImageFileSystem


class BadFileSystem(SystemTest):
    size = 1 << 30

    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
        self.run_pgtwig("branch", "create", "demo/dev")

    def fill(self) -> list:
        """Takes what is free, to the last block that a file can have."""
        fillers = []
        for size in (64 << 20, 1 << 20, 64 << 10, 4 << 10):
            while True:
                path = self.pgtwig.root / f"filler{len(fillers)}"
                fillers.append(path)
                try:
                    with open(path, "wb") as file:
                        file.write(os.urandom(size))
                        file.flush()
                        os.fsync(file.fileno())
                except OSError:
                    break
        return fillers

    def test_a_create_on_a_full_file_system_fails_clearly_and_works_when_there_is_room(self) -> None:
        fillers = self.fill()
        refused = self.run_pgtwig("branch", "create", "demo/new", expect=2)
        self.assertRegex(refused.err, "(?i)space|free|full")
        self.assertIn("hint: ", refused.err)
        for path in fillers:
            path.unlink(missing_ok=True)  # there may not even have been room for its name
        self.assertNotIn("demo/new", self.pgtwig.branches())
        eventually(lambda: self.run_pgtwig("branch", "create", "demo/new", expect=None).status == 0, "there is room again", 60)
        self.assertEqual(self.sql("demo/new", "SELECT count(*) FROM t"), "1000")
        self.assertEqual(self.sql("demo/main", "SELECT count(*) FROM t"), "1000")
        self.pgtwig.assert_nothing_leaked()

    def test_branches_that_fill_the_file_system_recover_when_there_is_room(self) -> None:
        fillers = self.fill()
        self.pgtwig.sql("demo/dev", "CREATE TABLE big AS SELECT repeat(md5(n::text), 100) FROM generate_series(1, 500000) n",
                        expect_failure=True)
        for path in fillers:
            path.unlink(missing_ok=True)  # there may not even have been room for its name

        def works() -> bool:
            if self.pgtwig.branches()["demo/dev"]["state"] != "running":
                self.run_pgtwig("start", "demo/dev", expect=None)
            # A server that had no room for its WAL recovers by itself, and is running meanwhile.
            return self.run_pgtwig("psql", "demo/dev", "--", "-XAtqc", "SELECT 1", expect=None).status == 0

        eventually(works, "the branch answers", 60)
        self.sql("demo/dev", "INSERT INTO t VALUES (0)")
        self.assertEqual(self.sql("demo/dev", "SELECT count(*) FROM t"), "1001")
        self.assertEqual(self.sql("demo/main", "SELECT count(*) FROM t"), "1000")
        self.pgtwig.assert_nothing_leaked()


class PoolAway(SystemTest):
    """The pool is a folder on a file system of its own, the state is not on it."""

    file_system = "btrfs"

    def setUp(self) -> None:
        super().setUp()
        # The image is mounted at the root; the pool moves to one of its own beside it.
        self.pool = ImageFileSystem(self.file_system, self.pgtwig.base.path / "pool.image", self.pgtwig.base.path / "pool")
        self.run_pgtwig("pool", "create", "disk", "--directory", str(self.pool.mount_point))
        self.run_pgtwig("project", "create", "demo", "--pool", "disk")
        self.sql("demo/main", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
        self.run_pgtwig("branch", "create", "demo/dev")

    def test_an_unmounted_pool_is_away_and_its_branches_return_with_it(self) -> None:
        self.run_pgtwig("daemon", "stop", "--stop-all")
        self.pool.unmount()
        pool = self.pgtwig.json("pool", "get", "disk")
        self.assertEqual(pool["state"], "away")
        self.assertIn(f"warning: {pool['warnings'][0]}", self.run_pgtwig("pool", "get", "disk").err)
        branches = self.pgtwig.branches()
        self.assertEqual(set(branches), {"demo/main", "demo/dev"})
        self.assertNotIn("running", {branch["state"] for branch in branches.values()})
        for command in (["branch", "create", "demo/new"], ["start", "demo/dev"], ["branch", "reset", "demo/dev"]):
            refused = self.run_pgtwig(*command, expect=None)
            self.assertIn(refused.status, (2, 5), str(refused))
            self.assertIn("disk", refused.err)
            self.assertIn("hint: ", refused.err)
        self.assertEqual(os.listdir(self.pool.mount_point), [], "something was written below the mount point")
        self.pool.mount()
        eventually(lambda: self.run_pgtwig("start", "demo/dev", expect=None).status == 0, "the pool is back", 30)
        self.run_pgtwig("start", "demo/main")
        self.assertEqual(self.sql("demo/dev", "SELECT count(*) FROM t"), "1000")
        self.run_pgtwig("branch", "create", "demo/new")
        self.pgtwig.assert_nothing_leaked()

    def test_another_file_system_in_the_pools_place_is_not_taken_for_it(self) -> None:
        self.run_pgtwig("daemon", "stop", "--stop-all")
        self.pool.unmount()
        stranger = ImageFileSystem(self.file_system, self.pgtwig.base.path / "stranger.image", self.pool.mount_point)
        self.assertEqual(self.pgtwig.json("pool", "get", "disk")["state"], "away")
        self.assertNotEqual(self.run_pgtwig("branch", "create", "demo/new", expect=None).status, 0)
        self.assertEqual(os.listdir(stranger.mount_point), [], "something was written to the stranger")
        self.run_pgtwig("daemon", "stop")
        stranger.unmount()
        self.pool.mount()
        eventually(lambda: self.run_pgtwig("start", "demo/dev", expect=None).status == 0, "the pool is back", 30)
        self.assertEqual(self.sql("demo/dev", "SELECT count(*) FROM t"), "1000")

    def test_a_read_only_pool_refuses_clearly_and_works_again(self) -> None:
        self.run_pgtwig("stop", "demo/main")
        self.run_pgtwig("stop", "demo/dev")
        self.pool.remount("ro")
        for command in (["branch", "create", "demo/new"], ["start", "demo/dev"], ["branch", "reset", "demo/dev"]):
            refused = self.run_pgtwig(*command, expect=2)
            self.assertIn("hint: ", refused.err)
        self.pool.remount("rw")
        self.assertEqual(set(self.pgtwig.branches()), {"demo/main", "demo/dev"})
        self.run_pgtwig("start", "demo/dev")
        self.assertEqual(self.sql("demo/dev", "SELECT count(*) FROM t"), "1000")
        self.run_pgtwig("branch", "create", "demo/new")
        self.pgtwig.assert_nothing_leaked()
