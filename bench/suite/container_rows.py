"""A branch in a container, against `docker run` of the same image on a directory that is ready."""

import os
import pathlib
import subprocess

from .create_rows import steps_of
from .report import Row
from .stand import Project, Stand, Unavailable, milliseconds, wait_until

SAMPLES = 15


class BareContainer:
    """What pgtwig ran for a branch, word for word, on that branch's own files after a clean stop."""

    def __init__(self, stand: Stand, project: Project) -> None:
        self.stand = stand
        self.branch, _ = project.create()
        (self.container,) = (name for name in stand.docker().containers() if name.endswith(self._incarnation(project)))
        self.command = self._command_of(self.container)
        stand.request("POST", self.branch.path + "/stop", {})

    def _incarnation(self, project: Project) -> str:
        arguments = pathlib.Path(f"/proc/{self.branch.view['pid']}/cmdline").read_bytes().decode().split("\0")
        return pathlib.Path(arguments[arguments.index("-D") + 1]).parent.name

    def _command_of(self, container: str) -> list[str]:
        """The container as a command line: what it mounts, who it is, what it runs."""
        docker = self.stand.docker()
        show = lambda text: docker.run("inspect", "-f", text, container).split("\n")  # noqa: E731
        mounts = [line for line in show('{{range .HostConfig.Mounts}}type={{.Type}}{{if .Source}},src={{.Source}}{{end}},'
                                        'dst={{.Target}}{{if .ReadOnly}},readonly{{end}}\n{{end}}') if line]
        command = [docker.program, "run", "--detach", "--name", "floor", "--pull", "never", "--network", "host",
                   "--user", show("{{.Config.User}}")[0], "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
                   "--workdir", show("{{.Config.WorkingDir}}")[0]]
        for mount in mounts:
            command += ["--mount", mount]
        return [*command, "--entrypoint", "postgres", show("{{.Config.Image}}")[0],
                *(line for line in show("{{range .Config.Cmd}}{{println .}}{{end}}") if line)]

    def _first_row(self) -> None:
        """`docker run` comes back before PostgreSQL listens."""
        def has_come() -> bool:
            try:
                self.stand.first_row(self.branch.connection_string)
                return True
            except Unavailable:
                return False

        wait_until(has_come, "a first row", 60, 0.001)

    def sample(self) -> float:
        docker = self.stand.docker()
        begun = milliseconds()
        done = subprocess.run(self.command, env=os.environ | docker.environment(), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Unavailable(done.stderr)
        self._first_row()
        taken = milliseconds() - begun
        docker.run("kill", "--signal", "INT", "floor")
        wait_until(lambda: docker.run("inspect", "-f", "{{.State.Running}}", "floor") == "false", "the container has ended")
        docker.run("rm", "floor")
        return taken


def create_docker(stand: Stand) -> list[Row]:
    stand.docker()
    project = stand.project("docker", "btrfs", runtime="docker")
    bare = BareContainer(stand, project)
    ours: list[float] = []
    base: list[float] = []
    views: list[dict] = []

    def measure_ours() -> None:
        branch, ms = project.create()
        ours.append(ms)
        views.append(branch.view)
        branch.delete()
        project.wait_until_swept()

    for i in range(SAMPLES + 1):
        for measure in (measure_ours, lambda: base.append(bare.sample())) if i % 2 else (lambda: base.append(bare.sample()),
                                                                                         measure_ours):
            measure()
    stand.forget_project(project)
    return [Row.compare("create_docker", "create in Docker, Btrfs, host network", ours[1:], "docker run, ready directory", base[1:],
                        most=1.15, steps=steps_of(views[1:]))]


ROWS = [create_docker]
