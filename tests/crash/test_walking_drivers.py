"""The same on XFS, where a fork is a walk over files and the source is in backup mode meanwhile."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import test_every_point


class EveryPointOfTheWalk(test_every_point.EveryPoint):
    file_system = "xfs"

    def test_create_on_xfs_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.create(), "kill")

    def test_create_on_xfs_is_done_or_undone_when_a_step_fails(self) -> None:
        self.try_everywhere(self.create(), "fail")

    def test_snapshot_on_xfs_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.snapshot(), "kill")

    def test_reset_on_xfs_is_done_or_undone_when_killed(self) -> None:
        self.try_everywhere(self.reset(), "kill")
