"""Ctrl-C while a change runs: it is cancelled, and leaves nothing behind."""

import json
import os
import pathlib
import pty
import select
import signal
import time

from harness.case import SystemTest
from harness.installation import eventually


class Terminal:
    """`pgtwig ARGUMENTS...` at a terminal of its own, as a person has it."""

    def __init__(self, installation, *arguments: str) -> None:
        self.said = ""
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.chdir(installation.work)
            os.execve(installation.programs / "pgtwig", ["pgtwig", *arguments], installation.full_environment())

    def read_until(self, text: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.said:
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} was not said, but: {self.said!r}")
            self._read(0.1)

    def press_ctrl_c(self) -> None:
        os.write(self.screen, b"\x03")

    def wait(self) -> int:
        """Its end: the exit status, or minus the signal's number."""
        while self._read(30):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.screen)
        return os.waitstatus_to_exitcode(status)

    def _read(self, seconds: float) -> bool:
        if not select.select([self.screen], [], [], seconds)[0]:
            return True
        try:
            text = os.read(self.screen, 4096).decode()
        except OSError:  # the other side is closed
            return False
        self.said += text
        return bool(text)


class Interrupt(SystemTest):
    config = 'log_level = "debug"'  # so that its log has every request

    def setUp(self) -> None:
        super().setUp()
        self.here = pathlib.Path(self.pgtwig.work) / "here"
        # The daemon waits in the middle of making a branch until the file is gone.
        self.pgtwig.start_daemon({"PGTWIG_FAULT": f"branch_create.clone_volume=pause:{self.here}"})
        self.run_pgtwig("project", "create", "demo")

    def go_on(self) -> None:
        self.here.unlink()

    def wait_for_it(self) -> None:
        eventually(self.here.exists, "the branch is being made", 30)

    def state_of_last(self) -> dict:
        return self.pgtwig.json("operation", "list", "--limit", "1")["operations"][0]

    def assert_nothing_was_made(self) -> None:
        self.assertEqual(set(self.pgtwig.branches()), {"demo/main"})
        self.pgtwig.assert_nothing_leaked()

    def test_ctrl_c_cancels_and_waits_for_the_end(self) -> None:
        terminal = Terminal(self.pgtwig, "branch", "create", "demo/dev")
        self.wait_for_it()
        terminal.press_ctrl_c()
        terminal.read_until("Cancelling; Ctrl-C again leaves it to itself")
        self.go_on()
        self.assertEqual(terminal.wait(), 2, terminal.said)
        self.assertIn("error: ", terminal.said)
        self.assertIn("cancelled", terminal.said)
        self.assertNotIn("Ready", terminal.said)
        self.assert_nothing_was_made()
        self.run_pgtwig("branch", "create", "demo/dev")

    def test_a_second_ctrl_c_leaves_at_once_and_it_ends_by_itself(self) -> None:
        terminal = Terminal(self.pgtwig, "branch", "create", "demo/dev")
        self.wait_for_it()
        terminal.press_ctrl_c()
        terminal.read_until("Cancelling; ")
        terminal.press_ctrl_c()
        self.assertEqual(terminal.wait(), -signal.SIGINT, terminal.said)
        self.assertIn("Left: it ends by itself; see `pgtwig operation get ", terminal.said)
        self.go_on()
        eventually(lambda: self.state_of_last()["state"] == "failed", "it is cancelled", 30)
        self.assert_nothing_was_made()

    def test_a_program_gets_the_error_as_data(self) -> None:
        process = self.pgtwig.start("branch", "create", "demo/dev", "--json")
        self.wait_for_it()
        process.send_signal(signal.SIGINT)
        eventually(lambda: "DELETE /v1/operations/" in self.pgtwig.log_tail(200), "the wish has come", 30)
        self.assertEqual(self.state_of_last()["state"], "running")
        self.go_on()
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (2, ""))
        self.assertEqual(json.loads(out)["error"]["code"], "cancelled")
        self.assert_nothing_was_made()

    def test_operation_cancel_does_the_same_from_elsewhere(self) -> None:
        process = self.pgtwig.start("branch", "create", "demo/dev")
        self.wait_for_it()
        self.run_pgtwig("operation", "cancel", self.state_of_last()["id"][:12])
        self.go_on()
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 2, err)
        self.assertIn("cancelled", err)
        self.assert_nothing_was_made()
