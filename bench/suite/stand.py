"""Where the measurements happen: file systems in images of their own, an installation of the real pgtwig, and the way
to talk to both. Everything lies in one folder and goes with it, however the run ends."""

import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests"))
from harness import containers, machine  # noqa: E402

# Sparse; only what the rows write is ever there.
IMAGE_BYTES = {"btrfs": 48 << 30, "xfs": 24 << 30, "ext4": 8 << 30}
# Below the ports of the tests, beyond those of an ordinary installation; thousands of branches have one each.
FIRST_PORT, LAST_PORT = 10000, 19499
ENDPOINT_PORT = 19499  # below the floors' (floor.FLOOR_PORTS)
DAEMON_PATIENCE = 30.0
# A connection that was idle for longer is not used again: the daemon may be closing it at this very moment.
KEPT_SECONDS = 2.0


class Unavailable(Exception):
    """This machine or this pgtwig can't give what a row needs; the row says so and the run goes on."""


def milliseconds() -> float:
    return time.perf_counter() * 1000


def wait_until(condition, what: str, seconds: float = 60, pause: float = 0.005) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Unavailable(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)


def postgres_program(name: str) -> str:
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if not found:
        raise Unavailable(f"{name} is not installed")
    return str(found[-1])


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=600)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Stand:
    def __init__(self, binary: pathlib.Path, floors: pathlib.Path, full: bool) -> None:
        if not machine.is_root():
            raise SystemExit("bench/run mounts file systems of its own and so needs root")
        self.full = full
        self.base = machine.Base()
        self.folder = self.base.path
        self.binary = self.folder / "pgtwig"
        self.floor_program = floors / "floor_create"
        self.root = self.folder / "root"
        self.file_systems: dict[str, machine.ImageFileSystem] = {}
        self.loads: list[subprocess.Popen] = []
        self._projects: dict[str, "Project"] = {}
        self._connection: UnixConnection | None = None
        self._last_request = 0.0
        self._first_row: subprocess.Popen | None = None
        self._daemon: subprocess.Popen | None = None
        self._docker: containers.Docker | None = None
        try:
            (self.folder / "bin").mkdir()
            (self.folder / "bin/docker").symlink_to(containers.DOCKER)
            shutil.copy(binary, self.binary)
            self.root.mkdir()
            # No restore point is made behind a measurement's back.
            (self.root / "pgtwig.toml").write_text(f'[ports]\nfirst = {FIRST_PORT}\nlast = {LAST_PORT}\n'
                                                   '[snapshots]\nevery = "off"\n'
                                                   f'[proxy]\nenabled = true\nport = {ENDPOINT_PORT}\n')
            self._first_row = subprocess.Popen([floors / "first_row"], text=True, bufsize=1, stdin=subprocess.PIPE,
                                               stdout=subprocess.PIPE)
            self._start_daemon()
        except BaseException:
            self.tear_down()
            raise

    def tear_down(self) -> None:
        for load in self.loads:
            load.kill()
        if self._first_row:
            self._first_row.kill()
        if self._daemon and self._daemon.poll() is None:
            subprocess.run([self.binary, "daemon", "stop", "--stop-all"], env=self.environment(), capture_output=True,
                           timeout=120)
        if self._docker:
            self._docker.stop()
        self.base.remove()

    # The installation ------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        # The engine of the rows that have one, whether it runs yet or not.
        return {"DOCKER_HOST": f"unix://{self.folder}/d/sock",
                "PATH": f"{self.folder}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder),
                "LANG": "C.UTF-8", "PGTWIG_ROOT": str(self.root)}

    def _start_daemon(self) -> None:
        with open(self.folder / "daemon.out", "wb") as log:
            self._daemon = subprocess.Popen([self.binary, "daemon", "run"], env=self.environment(), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)

        def answers() -> bool:
            if self._daemon.poll() is not None:
                raise Unavailable("the daemon ended: " + (self.folder / "daemon.out").read_text(errors="replace")[-2000:])
            try:
                return self.request("GET", "/v1/version") is not None
            except OSError:
                return False

        wait_until(answers, "the daemon answers", DAEMON_PATIENCE)

    def docker(self) -> containers.Docker:
        """An engine of this run's own, with an image of the installed PostgreSQL; started when it is first asked for."""
        if self._docker is None:
            try:
                self._docker = containers.Docker(self.folder, pathlib.Path(postgres_program("postgres")).parent)
            except containers.NotAvailable as reason:
                raise Unavailable(str(reason)) from None
        return self._docker

    def daemon_pid(self) -> int:
        return self._daemon.pid

    def request(self, method: str, path: str, body: dict | None = None) -> dict:
        """One request on the daemon's socket, over a connection that is kept for the next."""
        if self._connection and time.monotonic() - self._last_request > KEPT_SECONDS:
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = UnixConnection(str(self.root / "run/pgtwig.sock"))
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = self._connection.getresponse()
            text = answer.read()
            self._last_request = time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._connection = None
            raise error if isinstance(error, OSError) else OSError(str(error))
        if answer.status >= 400:
            raise Unavailable(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text) if text else {}

    def first_row(self, connection_string: str) -> None:
        """Connects and fetches a row, by a program that is running already."""
        self._first_row.stdin.write(connection_string + "\n")
        self._first_row.stdin.flush()
        answer = self._first_row.stdout.readline().strip()
        if answer != "ok":
            raise Unavailable(f"no first row: {answer}")

    # File systems and projects ----------------------------------------------------------------------------------------

    def file_system(self, kind: str) -> pathlib.Path:
        """The mount point of an image with this file system; made when it is first asked for."""
        if kind not in self.file_systems:
            self.file_systems[kind] = machine.ImageFileSystem(kind, self.folder / f"{kind}.img", self.folder / kind,
                                                              IMAGE_BYTES[kind])
            pool = self.folder / kind / "pool"
            pool.mkdir(mode=0o755)
            (self.folder / kind / "floor").mkdir(mode=0o755)
            self.request("POST", "/v1/pools", {"name": kind, "directory": str(pool)})
        return self.folder / kind

    def project(self, name: str, kind: str, runtime: str = "native") -> "Project":
        """A project on this file system; rows that ask for the same name share it."""
        if name not in self._projects:
            self.file_system(kind)
            self._projects[name] = Project(self, name, kind, runtime)
        return self._projects[name]

    def forget_project(self, project: "Project") -> None:
        self.request("DELETE", f"/v1/projects/{project.name}?force=true")
        del self._projects[project.name]
        project.wait_until_swept()


class Branch:
    def __init__(self, project: "Project", view: dict) -> None:
        self.project = project
        self.view = view
        self.name = view["branch"]
        self.path = f"/v1/projects/{project.name}/branches/{urllib.parse.quote(self.name, safe='')}"

    @property
    def connection_string(self) -> str:
        return (f"host=127.0.0.1 port={self.view['port']} user=postgres dbname=postgres "
                f"password={self.project.password} gssencmode=disable sslmode=disable connect_timeout=60")

    def endpoint_string(self, port: int) -> str:
        """The same by another port, which leads here by the database where it is the endpoint's."""
        database = f"postgres@{self.view['name']}" if port == ENDPOINT_PORT else "postgres"
        return self.connection_string.replace(f"port={self.view['port']}", f"port={port}").replace("dbname=postgres", f"dbname={database}")

    def refresh(self) -> None:
        self.view = self.project.stand.request("GET", self.path)

    def delete(self) -> None:
        self.project.stand.request("DELETE", self.path)

    def sql(self, statement: str) -> str:
        done = subprocess.run([postgres_program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.connection_string,
                               "-c", statement], text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=3600)
        if done.returncode != 0:
            raise Unavailable(f"psql -c {statement!r}: {done.stderr}")
        return done.stdout.strip()

    def pgbench(self, *arguments: str, **options) -> subprocess.Popen:
        environment = os.environ | {"PGPASSWORD": self.project.password}
        return subprocess.Popen([postgres_program("pgbench"), "-h", "127.0.0.1", "-p", str(self.view["port"]), "-U",
                                 "postgres", *arguments, "postgres"], env=environment, stdin=subprocess.DEVNULL, text=True,
                                **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options)


class Project:
    def __init__(self, stand: Stand, name: str, kind: str, runtime: str) -> None:
        self.stand = stand
        self.name = name
        self.kind = kind
        self.pool = stand.folder / kind / "pool"
        self.counter = 0
        volumes_before = self.volumes()
        view = stand.request("POST", "/v1/projects", {"name": name, "pool": kind, "runtime": runtime})
        self.main_volume = next(iter(self.volumes() - volumes_before))
        self.password = stand.request("GET", f"/v1/projects/{name}/branches/main/credentials")["password"]
        self.main = Branch(self, stand.request("GET", f"/v1/projects/{name}/branches/main"))
        self.method = view.get("method")

    def volumes(self) -> set[pathlib.Path]:
        return {entry for entry in self.pool.iterdir() if len(entry.name) == 32}

    def create(self, start: bool = True, settings: dict[str, str] | None = None,
               at: str | None = None) -> tuple[Branch, float]:
        """A new branch of main, and the milliseconds from the order to its first row (to the answer, unstarted)."""
        self.counter += 1
        body = {"name": f"b{self.counter}", "start": start}
        if settings:
            body["settings"] = settings
        if at:
            body["at"] = at
        begun = milliseconds()
        branch = Branch(self, self.stand.request("POST", f"/v1/projects/{self.name}/branches", body))
        if start:
            self.stand.first_row(branch.connection_string)
        return branch, milliseconds() - begun

    def reset(self, branch: Branch) -> float:
        """Milliseconds from the order to the first row."""
        begun = milliseconds()
        branch.view = self.stand.request("POST", branch.path + "/reset", {})
        self.stand.first_row(branch.connection_string)
        return milliseconds() - begun

    def wait_until_swept(self) -> None:
        """Until as many volumes are left as there are branches: what was deleted goes in the background."""
        def swept() -> bool:
            branches = self.stand.request("GET", "/v1/branches")["branches"]
            snapshots = self.stand.request("GET", "/v1/snapshots")["snapshots"]
            return len(self.volumes()) <= sum(volume["pool"] == self.kind for volume in branches + snapshots)

        wait_until(swept, "deleted volumes are gone", 300, 0.02)
