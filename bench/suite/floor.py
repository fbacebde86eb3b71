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

    def sample(self, method: str, parent_runs: bool = True) -> "Sample":
        number = next(NUMBERS)
        target = self.stand.folder / self.project.kind / "floor" / str(number)
        instance = self.stand.folder / f"f{number}"
        port = str(FLOOR_PORTS[number % len(FLOOR_PORTS)])
        self._make_instance(target, instance)
        arguments = [self._translated(argument, target, instance) for argument in self.template.arguments]
        arguments = [f"port={port}" if argument == f"port={self.template.port}" else argument for argument in arguments]
        child = self.project.main.connection_string.replace(f"port={self.project.main.view['port']}", f"port={port}")
        done = subprocess.run(
            [self.stand.floor_program, f"method={method}",
             f"parent={self.project.main.connection_string if parent_runs else ''}", f"child={child}",
             f"source={self.project.main_volume}", f"target={target}", f"commits={self.stand.root}/floor-commits",
             f"log={instance}/log", f"uid={self.template.uid}", f"gid={self.template.gid}", "--", self.template.program,
             *arguments],
            env=self.template.environment, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=600)
        if done.returncode != 0:
            log = (instance / "log").read_text(errors="replace")[-1000:] if (instance / "log").exists() else ""
            raise Unavailable(f"{done.stderr.strip()}\n{log}")
        return Sample(json.loads(done.stdout), target, instance)


class Sample:
    def __init__(self, answer: dict, target: pathlib.Path, instance: pathlib.Path) -> None:
        self.pid = answer["pid"]
        self.ms = answer["total_ns"] / 1e6
        self.steps = {name.removesuffix("_ns"): ns / 1e6 for name, ns in answer.items() if name.endswith("_ns")}
        self.target = target
        self.instance = instance

    def drop(self) -> None:
        machine.end_processes(self.target)
        if subprocess.run(["btrfs", "subvolume", "delete", str(self.target)], capture_output=True).returncode != 0:
            shutil.rmtree(self.target)
        shutil.rmtree(self.instance)
