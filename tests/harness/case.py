"""The base of the Python tests: a private installation, a time limit, and a tidy end whatever happens."""

import signal
import unittest

from . import machine
from .installation import Installation, Unsupported

TIME_LIMIT = 280 * machine.PATIENCE  # seconds; below ctest's own, which would leave no time to tidy up


class SystemTest(unittest.TestCase):
    file_system = "btrfs"
    user = "root"
    config = ""
    size = 6 << 30
    servers: tuple[int, ...] = ()

    def setUp(self) -> None:
        def out_of_time(*_) -> None:
            raise TimeoutError(f"not finished in {TIME_LIMIT} s")

        signal.signal(signal.SIGALRM, out_of_time)
        signal.signal(signal.SIGTERM, lambda *_: self.fail("terminated"))
        signal.alarm(TIME_LIMIT)
        self.pgtwig = self.install()

    def install(self) -> Installation:
        """One more installation, or the test's own; removed at its end."""
        try:
            installation = Installation(fs=self.file_system, user=self.user, config=self.config, size=self.size,
                                        servers=self.servers)
        except Unsupported as reason:
            self.skipTest(str(reason))
        self.addCleanup(self._remove, installation)
        return installation

    def _remove(self, installation: Installation) -> None:
        signal.alarm(60 * machine.PATIENCE)
        failed = not self._outcome.success
        if failed:
            print(installation.log_tail())
        survivors = installation.tear_down()
        signal.alarm(0)
        if not failed:
            self.assertEqual(survivors, [], "still running after `pgtwig daemon stop --stop-all`")

    # Shorthands for the installation's own -----------------------------------------------------------------------------

    def run_pgtwig(self, *arguments: str, **options):
        return self.pgtwig.pgtwig(*arguments, **options)

    def sql(self, branch: str, statement: str) -> str:
        return self.pgtwig.sql(branch, statement)
