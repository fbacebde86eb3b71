"""What can happen to a pool on ZFS and nowhere else. Skipped where there is no ZFS; `make lab` runs it in a guest that has one."""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import test_file_systems
from harness.case import SystemTest
from harness.installation import eventually


def zfs(*arguments: str) -> str:
    program = arguments[0] if arguments[0] == "zpool" else "zfs"
    rest = arguments[1:] if arguments[0] == "zpool" else arguments
    done = subprocess.run([program, *rest], text=True, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise AssertionError(f"{program} {' '.join(rest)}: {done.stderr}")
    return done.stdout.strip()


class OnZfs(SystemTest):
    file_system = "zfs"
    size = 2 << 30

    def setUp(self) -> None:
        super().setUp()
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
        [directory] = self.pgtwig.pool_directories()
        self.dataset = zfs("list", "-Ho", "name", str(directory))

    def volume(self, branch: str) -> str:
        """The branch's dataset."""
        project, _, name = branch.partition("/")
        [row] = self.pgtwig.catalog_column("SELECT incarnation FROM branches JOIN projects ON projects.id = branches.project "
                                           f"WHERE projects.name = '{project}' AND branches.name = '{name}'")
        return f"{self.dataset}/{row}"

    def snapshots(self) -> list[str]:
        return zfs("list", "-Hro", "name", "-t", "snapshot", self.dataset).split()

    def sweep(self) -> None:
        """What could not be destroyed before is tried again when a daemon starts."""
        self.run_pgtwig("daemon", "stop")
        self.run_pgtwig("status")


class Families(OnZfs):
    def test_parents_go_before_their_children_in_chains_and_with_snapshots(self) -> None:
        self.run_pgtwig("branch", "create", "demo/a")
        self.run_pgtwig("snapshot", "create", "demo/a", "first")
        self.sql("demo/a", "INSERT INTO t VALUES (0)")
        self.run_pgtwig("branch", "create", "demo/b", "--from", "demo/a")
        self.run_pgtwig("branch", "create", "demo/sibling", "--from", "demo/a")
        self.sql("demo/b", "INSERT INTO t VALUES (-1)")
        self.run_pgtwig("branch", "create", "demo/c", "--from", "demo/b")
        # A reset destroys the volume that the others were forked from, and they stay as they are.
        for name in ("demo/b", "demo/a", "demo/a", "demo/b"):
            self.run_pgtwig("branch", "reset", name)
        self.pgtwig.assert_nothing_leaked()
        counts = {name: self.sql(name, "SELECT count(*) FROM t") for name in self.pgtwig.branches()}
        self.assertEqual(counts, {"demo/main": "1000", "demo/a": "1000", "demo/b": "1000", "demo/sibling": "1001", "demo/c": "1002"})
        self.run_pgtwig("branch", "reset", "demo/sibling", "--from", "demo/a@first")
        self.assertEqual(self.sql("demo/sibling", "SELECT count(*) FROM t"), "1000")
        self.run_pgtwig("branch", "delete", "demo/a", "--cascade")
        self.pgtwig.assert_nothing_leaked()
        self.run_pgtwig("project", "delete", "demo", "--force")
        self.pgtwig.assert_nothing_leaked()
        self.assertEqual(self.snapshots(), [])
        self.assertEqual(zfs("list", "-Hro", "name", self.dataset), self.dataset)

    def test_sizes_are_those_of_zfs_list(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        self.sql("demo/dev", "CREATE TABLE big AS SELECT md5(n::text) FROM generate_series(1, 100000) n")
        # In an emulated guest that has other tests beside, the last checkpoint can take longer than a stop waits for it.
        eventually(lambda: self.run_pgtwig("stop", "demo/dev", expect=None).status == 0, "it is stopped", 60)
        zfs("zpool", "sync")
        record = 8192

        def agrees() -> bool:
            size = self.pgtwig.json("branch", "get", "demo/dev")["size"]
            if not size:
                return False
            used, referenced = (int(text) for text in zfs("list", "-Hpo", "used,referenced", self.volume("demo/dev")).split())
            return abs(size["unique_bytes"] - used) <= record and abs(size["logical_bytes"] - referenced) <= record

        eventually(agrees, "pgtwig and `zfs list` agree", 60)


class ByHand(OnZfs):
    def test_datasets_and_snapshots_are_foreign_and_never_touched(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        dev = self.volume("demo/dev")
        for made in (f"{self.dataset}/mine", f"{self.dataset}/mine/inside", f"{self.dataset}/{'0' * 31}1"):
            zfs("create", made)
        zfs("snapshot", f"{dev}@by-hand")
        pool = self.pgtwig.json("pool", "list")["pools"][0]
        self.assertEqual(sorted(pool["foreign"]), sorted(["mine", "0" * 31 + "1", dev.rpartition("/")[2] + "@by-hand"]))
        self.run_pgtwig("branch", "delete", "demo/dev")
        self.sweep()
        self.assertIn(f"{dev}@by-hand", self.snapshots())
        self.assertIn("zfs destroy", (self.pgtwig.root / "log/daemon.log").read_text())
        zfs("destroy", f"{dev}@by-hand")
        self.sweep()
        eventually(lambda: dev not in zfs("list", "-Hro", "name", self.dataset), "the volume is swept", 30)
        self.run_pgtwig("project", "delete", "demo", "--force")
        own = [self.dataset, f"{self.dataset}/{'0' * 31}1", f"{self.dataset}/mine", f"{self.dataset}/mine/inside"]
        eventually(lambda: zfs("list", "-Hro", "name", self.dataset).split() == own, "only what is by hand is left", 30)
        zfs("destroy", own[1])  # to the check for leaks it looks like a volume
        self.pgtwig.assert_nothing_leaked()

    def test_a_clone_of_a_branch_outlives_it(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        dev = self.volume("demo/dev")
        self.run_pgtwig("snapshot", "create", "demo/dev", "first")
        [hidden] = [name for name in self.snapshots() if name.startswith(dev + "@")]
        zfs("clone", hidden, f"{self.dataset}/mine")
        self.run_pgtwig("branch", "delete", "demo/dev", "--cascade")
        self.sweep()
        self.assertTrue((pathlib.Path(zfs("get", "-Ho", "value", "mountpoint", f"{self.dataset}/mine")) / "data/PG_VERSION").exists())
        self.assertIn("zfs promote", (self.pgtwig.root / "log/daemon.log").read_text())
        zfs("destroy", f"{self.dataset}/mine")
        self.sweep()
        self.pgtwig.assert_nothing_leaked()

    def test_a_busy_volume_goes_when_it_is_free(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        path = zfs("get", "-Ho", "value", "mountpoint", self.volume("demo/dev"))
        with subprocess.Popen(["cat"], cwd=path, stdin=subprocess.PIPE) as user:
            self.run_pgtwig("branch", "delete", "demo/dev")
            eventually(lambda: "fuser -vm" in (self.pgtwig.root / "log/daemon.log").read_text(), "it is said who uses it", 30)
            self.assertTrue(pathlib.Path(path).is_dir())
            user.stdin.close()
            user.wait()
        self.sweep()
        self.pgtwig.assert_nothing_leaked()

    def test_a_family_destroyed_with_its_origin_is_told_from_a_pool_away(self) -> None:
        self.run_pgtwig("branch", "create", "demo/a")
        self.run_pgtwig("branch", "create", "demo/b", "--from", "demo/a")
        self.run_pgtwig("stop", "demo/a")
        self.run_pgtwig("stop", "demo/b")
        zfs("destroy", "-R", self.volume("demo/a"))
        for name in ("demo/a", "demo/b"):
            refused = self.run_pgtwig("start", name, expect=None)
            self.assertIn(refused.status, (2, 3), str(refused))
            self.assertIn("zfs destroy -R", refused.err)
        self.run_pgtwig("branch", "delete", "demo/a", "--cascade")
        self.assertEqual(self.sql("demo/main", "SELECT count(*) FROM t"), "1000")
        self.pgtwig.assert_nothing_leaked()

    def test_an_unmounted_volume_is_mounted_when_it_is_needed(self) -> None:
        self.run_pgtwig("branch", "create", "demo/dev")
        self.run_pgtwig("stop", "demo/dev")
        zfs("unmount", self.volume("demo/dev"))
        self.run_pgtwig("start", "demo/dev")
        self.assertEqual(self.sql("demo/dev", "SELECT count(*) FROM t"), "1000")


class Health(OnZfs):
    def test_a_degraded_zpool_warns_and_works(self) -> None:
        spare = self.pgtwig.base.path / "mirror"
        with open(spare, "wb") as file:
            file.truncate(self.size)
        image = self.pgtwig.file_system
        zfs("zpool", "attach", image.zpool, str(image.image), str(spare))
        zfs("zpool", "wait", "-t", "resilver", image.zpool)
        self.assertEqual(self.pgtwig.json("pool", "get", "default").get("warnings") or [], [])
        zfs("zpool", "offline", image.zpool, str(spare))
        [warning] = self.pgtwig.json("pool", "get", "default")["warnings"]
        self.assertIn("DEGRADED", warning)
        self.assertIn("zpool status", warning)
        self.assertIn(warning, self.run_pgtwig("pool", "get", "default").err)
        self.run_pgtwig("branch", "create", "demo/dev")
        self.assertEqual(self.sql("demo/dev", "SELECT count(*) FROM t"), "1000")


class OrdinaryUser(SystemTest):
    file_system = "zfs"
    user = "ordinary"
    size = 2 << 30

    def run_as_user(self, *command: str) -> int:
        return subprocess.run(self.pgtwig.as_user(list(command)), capture_output=True, stdin=subprocess.DEVNULL).returncode

    def test_an_ordinary_user_gets_plain_copies_and_is_told_why(self) -> None:
        zpool = self.pgtwig.file_system.zpool
        zfs("allow", self.pgtwig.account, "create,mount,snapshot,clone,promote,destroy", zpool)
        made = self.run_pgtwig("project", "create", "demo", "-o", "json")
        self.assertEqual(made.json()["method"], "copy")
        self.assertRegex(" ".join(made.json()["warnings"]), "on ZFS, but on Linux only root may mount .* plain copies")
        self.assertEqual(self.pgtwig.json("branch", "create", "demo/dev")["method"], "copy")
        self.assertEqual(self.run_as_user("mkdir", str(self.pgtwig.root / "volumes")), 0)
        refused = self.run_pgtwig("pool", "create", "z", "--directory", str(self.pgtwig.root / "volumes"), "--driver", "zfs", expect=1)
        self.assertIn("only root", refused.err)
        self.assertIn("hint: ", refused.err)
        # All of it is granted, and this is what Linux makes of it.
        self.assertEqual(self.run_as_user("zfs", "snapshot", f"{zpool}@mine"), 0)
        self.assertEqual(self.run_as_user("zfs", "create", "-u", f"{zpool}/mine"), 0)
        self.assertNotEqual(self.run_as_user("zfs", "mount", f"{zpool}/mine"), 0)


class FullZfs(test_file_systems.BadFileSystem):
    file_system = "zfs"

    def test_a_create_on_a_full_zpool_fails_clearly_and_works_when_there_is_room(self) -> None:
        self.test_a_create_on_a_full_file_system_fails_clearly_and_works_when_there_is_room()


class ZfsAway(test_file_systems.PoolAway):
    file_system = "zfs"

    def test_an_exported_zpool_is_away_and_its_branches_return_with_it(self) -> None:
        self.test_an_unmounted_pool_is_away_and_its_branches_return_with_it()

    def test_a_zpool_imported_read_only_refuses_clearly_and_works_again(self) -> None:
        self.test_a_read_only_pool_refuses_clearly_and_works_again()
