"""The same on ZFS, where a fork is a snapshot and then a clone, and a volume that was forked is destroyed by promotion."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import test_every_point


class EveryPointOfZfs(test_every_point.EveryPoint):
    file_system = "zfs"

    def test_create_on_zfs_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.create(), "kill")

    def test_create_on_zfs_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.create(), "fail")

    def test_reset_on_zfs_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.reset(), "kill")

    def test_delete_on_zfs_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.delete(), "kill")
