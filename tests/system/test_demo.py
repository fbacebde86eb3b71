"""What `make demo` runs, as a newcomer sees it: at a terminal, where psql pages and pgtwig asks, and nobody answers."""

import os
import pathlib
import pty
import select
import shutil
import subprocess
import time

from harness.case import SystemTest

DEMO = pathlib.Path(__file__).resolve().parents[2] / "scripts/demo"


class TheDemo(SystemTest):
    file_system = "host"

    def test_the_demo_ends_by_itself_at_a_terminal_and_leaves_nothing(self) -> None:
        folder = self.pgtwig.base.path / "demo"
        folder.mkdir()
        shutil.copy(self.pgtwig.config_file, folder)  # the ports of this test
        status, text = self.at_terminal([str(DEMO)], {"DEMO_ROOT": str(folder)}, 200)
        self.assertEqual(status, 0, text)
        self.assertEqual(text.count("create to first row"), 2, text)
        self.assertFalse(folder.exists())

    def at_terminal(self, arguments: list[str], environment: dict[str, str], seconds: float) -> tuple[int, str]:
        """Exit status and output of a program whose terminal is of unknown size, as a serial console's is."""
        environment = self.pgtwig.full_environment({"PGTWIG_BINARY": str(self.pgtwig.programs / "pgtwig"), "TERM": "xterm"} | environment)
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        program = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
        os.close(slave)
        deadline = time.monotonic() + seconds
        output = b""
        while select.select([master], [], [], max(0, deadline - time.monotonic()))[0]:
            try:
                output += os.read(master, 65536)
            except OSError:  # nobody has the terminal open any more
                return program.wait(), output.decode(errors="replace")
        program.kill()
        program.wait()
        self.fail(f"not finished in {seconds} s; it said:\n{output.decode(errors='replace')}")
