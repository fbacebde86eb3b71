"""What the command line adds to a request."""

import os
import subprocess

from .report import Row, median
from .stand import Stand, milliseconds


def cli_cost(stand: Stand) -> list[Row]:
    project = stand.project("bt", "btrfs")
    branch, _ = project.create()
    arguments = [str(stand.binary), "branch", "get", f"{project.name}/{branch.name}", "-o", "json"]
    environment = stand.environment()
    spawned: list[float] = []
    asked: list[float] = []
    nothing: list[float] = []
    devnull = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, devnull, 0), (os.POSIX_SPAWN_DUP2, devnull, 1)]

    def spawn(command: list[str]) -> float:
        begun = milliseconds()
        pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        ms = milliseconds() - begun
        if status != 0:
            raise RuntimeError(f"{command}: status {status}")
        return ms

    for _ in range(61):
        spawned.append(spawn(arguments))
        begun = milliseconds()
        stand.request("GET", branch.path)
        asked.append(milliseconds() - begun)
        nothing.append(spawn(["/bin/true"]))
    os.close(devnull)
    branch.delete()
    cost = [process - request for process, request in zip(spawned[1:], asked[1:])]
    return [Row.bounded("cli_cost", "the command line's own cost", cost, "ms", 8,
                        note=f"`branch get`: {median(spawned):.1f} ms as a command, {median(asked):.1f} ms as a request; "
                             f"/bin/true takes {median(nothing):.1f} ms")]


def cli_create(stand: Stand) -> list[Row]:
    """The wall time that a person sees."""
    project = stand.project("bt", "btrfs")
    walls = []
    for i in range(16):
        begun = milliseconds()
        done = subprocess.run([stand.binary, "branch", "create", f"{project.name}/cli{i}"], env=stand.environment(),
                              capture_output=True, stdin=subprocess.DEVNULL)
        walls.append(milliseconds() - begun)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode(errors="replace"))
        stand.request("DELETE", f"/v1/projects/{project.name}/branches/cli{i}")
        project.wait_until_swept()
    return [Row.bounded("cli_create", "`pgtwig branch create`, wall time, Btrfs", walls[1:], "ms", None)]


ROWS = [cli_cost, cli_create]
