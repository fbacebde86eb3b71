"""The floor: floor_create with the very settings that pgtwig gives a branch, read off a running one."""

import json
import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass

from .stand import Branch, Project, Unavailable, machine

NUMBERS = iter(range(1 << 30))
FLOOR_PORTS = range(19500, 20000)


@dataclass
class Template:
    """How pgtwig started a branch: program, arguments, environment, user, and the folders named in them."""
    program: str
    arguments: list[str]
    environment: dict[str, str]
    uid: int
    gid: int
    volume: str
    instance: str
    port: str

    @staticmethod
    def of(branch: Branch) -> "Template":
        process = pathlib.Path(f"/proc/{branch.view['pid']}")
        arguments = process.joinpath("cmdline").read_bytes().decode().rstrip("\0").split("\0")
        environment = process.joinpath("environ").read_bytes().decode().rstrip("\0").split("\0")
        settings = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        status = process.stat()
        return Template(os.readlink(process / "exe"), arguments[1:],
                        dict(entry.split("=", 1) for entry in environment if "=" in entry), status.st_uid, status.st_gid,
                        str(pathlib.Path(settings["data_directory"]).parent),
                        str(pathlib.Path(settings["config_file"]).parent), settings["port"])


class Floor:
    """Runs floors of one project; each leaves nothing once its sample is dropped."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.stand = project.stand
        branch, _ = project.create()
        self.template = Template.of(branch)
        self.files = {name: (pathlib.Path(self.template.instance) / name).read_text()
                      for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")}
        branch.delete()
        project.wait_until_swept()

    def _translated(self, text: str, target: pathlib.Path, instance: pathlib.Path) -> str:
        return text.replace(self.template.volume, str(target)).replace(self.template.instance, str(instance))

    def _make_instance(self, target: pathlib.Path, instance: pathlib.Path) -> None:
        (instance / "s").mkdir(parents=True)
        for name, text in self.files.items():
            (instance / name).write_text(self._translated(text, target, instance))
        for path in [instance, *instance.iterdir()]:
            os.chown(path, self.template.uid, self.template.gid)
        (instance / "s").chmod(0o700)

    def arguments(self, target: pathlib.Path, instance: pathlib.Path, port: str, settings: dict[str, str]) -> list[str]:
        """A branch's, for another place, where what it archives goes nowhere."""
        changed = {"port": port, "archive_command": "true"} | settings
        arguments = []
        for argument in self.template.arguments:
            name = argument.split("=", 1)[0]
            value = changed.pop(name, None)
            arguments.append(self._translated(argument, target, instance) if value is None else f"{name}={value}")
        for name, value in changed.items():
            arguments += ["-c", f"{name}={value}"]
        return arguments

    def connection_string(self, port: str) -> str:
        main = self.project.main
        return main.connection_string.replace(f"port={main.view['port']}", f"port={port}")

    def place(self) -> tuple[pathlib.Path, pathlib.Path, str]:
        """A directory that is not there yet, an instance's directory with its files, a port."""
        number = next(NUMBERS)
        target = self.stand.folder / self.project.kind / "floor" / str(number)
        instance = self.stand.folder / f"f{number}"
        self._make_instance(target, instance)
        return target, instance, str(FLOOR_PORTS[number % len(FLOOR_PORTS)])

    def sample(self, method: str, parent_runs: bool = True, settings: dict[str, str] | None = None) -> "Sample":
        target, instance, port = self.place()
        done = subprocess.run(
            [self.stand.floor_program, f"method={method}",
             f"parent={self.project.main.connection_string if parent_runs else ''}",
             f"child={self.connection_string(port)}",
             f"source={self.project.main_volume}", f"target={target}", f"commits={self.stand.root}/floor-commits",
             f"log={instance}/log", f"uid={self.template.uid}", f"gid={self.template.gid}", "--", self.template.program,
             *self.arguments(target, instance, port, settings or {})],
            env=self.template.environment, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=600)
        if done.returncode != 0:
            log = (instance / "log").read_text(errors="replace")[-1000:] if (instance / "log").exists() else ""
            raise Unavailable(f"{done.stderr.strip()}\n{log}")
        return Sample(json.loads(done.stdout), target, instance, port)


class Sample:
    def __init__(self, answer: dict, target: pathlib.Path, instance: pathlib.Path, port: str) -> None:
        self.pid = answer["pid"]
        self.port = port
        self.ms = answer["total_ns"] / 1e6
        self.steps = {name.removesuffix("_ns"): ns / 1e6 for name, ns in answer.items() if name.endswith("_ns")}
        self.target = target
        self.instance = instance

    def drop(self) -> None:
        machine.end_processes(self.target)
        if subprocess.run(["btrfs", "subvolume", "delete", str(self.target)], capture_output=True).returncode != 0:
            shutil.rmtree(self.target)
        shutil.rmtree(self.instance)
