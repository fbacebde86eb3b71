"""Container engines of a test's own: Debian's dockerd and podman, started and stopped by the test, with an image made of the
PostgreSQL that is installed. No registry, no service of the machine and no network is used."""

import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import time

from . import machine

IMAGES = pathlib.Path(__file__).resolve().parents[2] / "build/test-images"
# Debian's, whatever else called docker comes first on PATH: a client alone can't run anything.
DOCKER = "/usr/bin/docker"
DOCKERD = "/usr/sbin/dockerd"
PODMAN = "/usr/bin/podman"

DOCKERFILE = """FROM scratch
ADD root.tar /
ENV PATH=/usr/local/bin:/usr/bin:/bin:{programs} PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
CMD ["postgres"]
"""
# What initdb and PostgreSQL run by themselves, and what a test looks around with.
TOOLS = ("sh", "cat", "sleep", "ls")


class NotAvailable(Exception):
    pass


def _missing(paths: tuple[str, ...]) -> str:
    return next((path for path in paths if not os.access(path, os.X_OK)), "")


def _libraries(program: pathlib.Path) -> set[pathlib.Path]:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True).stdout
    return {pathlib.Path(word) for line in listed.splitlines() for word in line.split() if word.startswith("/")}


def _copy(source: pathlib.Path, root: pathlib.Path) -> None:
    target = root / str(source.resolve() if source.is_symlink() and source.is_dir() else source).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("bitcode", "llvmjit*", "pgxs"))
    elif not target.exists():
        shutil.copy(source, target)


def _make_root(programs: pathlib.Path, root: pathlib.Path) -> None:
    """A system that can run the PostgreSQL in `programs`, and hardly more: its files and the libraries they need."""
    for folder in ("usr/bin", "usr/lib", "usr/lib64", "tmp", "etc", "dev", "proc", "sys", "run", "root", "var/lib/postgresql/data"):
        (root / folder).mkdir(parents=True)
    for link in ("bin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    (root / "tmp").chmod(0o1777)
    version = programs.parent.name
    for folder in (programs.parent, pathlib.Path(f"/usr/share/postgresql/{version}"), pathlib.Path("/usr/share/zoneinfo"),
                   pathlib.Path("/usr/lib/locale/C.utf8")):
        if folder.is_dir():
            _copy(folder, root)
    executables = [path for path in programs.iterdir() if path.is_file()] + list((programs.parent / "lib").glob("*.so"))
    for tool in TOOLS:
        path = pathlib.Path(shutil.which(tool, path="/usr/bin:/bin")).resolve()
        shutil.copy(path, root / "usr/bin" / tool)
        executables.append(path)
    for library in set().union(*map(_libraries, executables)):
        target = root / str(library).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(library.resolve(), target)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\npostgres:x:999:\n")


def build_context(programs: pathlib.Path) -> pathlib.Path:
    """A folder that `docker build` takes, made once for each version of the installed PostgreSQL."""
    said = subprocess.run([programs / "postgres", "-V"], capture_output=True, text=True).stdout
    folder = IMAGES / "".join(letter if letter.isalnum() or letter == "." else "-" for letter in said.strip())
    IMAGES.mkdir(parents=True, exist_ok=True)
    with open(IMAGES / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make_root(programs, folder / "root")
            subprocess.run(["tar", "--numeric-owner", "--owner=0", "--group=0", "-C", folder / "root", "-cf", folder / "root.tar", "."],
                           check=True)
            shutil.rmtree(folder / "root")
            (folder / "Dockerfile").write_text(DOCKERFILE.format(programs=programs))
            (folder / "complete").touch()
    return folder


class Engine:
    """What both have: environment() for who uses it, run() for a command of it, stop()."""

    name = ""
    program = ""
    as_user: list[str] = []  # what every command of it is run by

    def environment(self) -> dict[str, str]:
        raise NotImplementedError

    def run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run([*self.as_user, self.program, *arguments], cwd="/", env=os.environ | self.environment(), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name} {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def containers(self) -> list[str]:
        return self.run("ps", "--all", "--format", "{{.Names}}").split()

    def stop(self) -> None:
        raise NotImplementedError


class Docker(Engine):
    name = "docker"
    program = DOCKER

    def __init__(self, folder: pathlib.Path, programs: pathlib.Path) -> None:
        missing = _missing((DOCKER, DOCKERD, "/usr/sbin/iptables"))
        if missing:
            raise NotAvailable(f"{missing} is missing; scripts/install-packages containers installs it")
        self.folder = folder / "d"
        self.folder.mkdir()
        self.daemon: subprocess.Popen | None = None
        self.programs = programs
        self.start()
        self.build()

    def build(self) -> None:
        subprocess.run([DOCKER, "build", "--quiet", "--tag", f"postgres:{self.programs.parent.name}", str(build_context(self.programs))],
                       env=os.environ | self.environment() | {"DOCKER_BUILDKIT": "0"}, check=True, capture_output=True, timeout=120)

    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": f"unix://{self.folder}/sock"}

    def start(self) -> None:
        log = open(self.folder / "log", "ab")
        # Several tests have one at once, so none touches the machine's bridges and rules.
        self.daemon = subprocess.Popen([DOCKERD, "--data-root", self.folder / "data", "--exec-root", self.folder / "exec", "--pidfile",
                                        self.folder / "pid", "--host", f"unix://{self.folder}/sock", "--bridge", "none",
                                        "--iptables=false", "--ip6tables=false"], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                       env=os.environ | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, start_new_session=True)
        deadline = time.monotonic() + 60
        while subprocess.run([DOCKER, "version"], env=os.environ | self.environment(), capture_output=True).returncode != 0:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise NotAvailable("dockerd does not run here: " + (self.folder / "log").read_text(errors="replace")[-500:])
            time.sleep(0.05)

    def kill(self) -> None:
        """As a crash: containers live on with their shims; the containerd that it started ends with it."""
        pid_file = self.folder / "exec/containerd/containerd.pid"
        containerd = machine.process(int(pid_file.read_text()))
        self.daemon.kill()
        self.daemon.wait()
        deadline = time.monotonic() + 30
        while containerd and containerd.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        # Where process 1 is slow to reap it, the next dockerd would take it for alive, and wait for its answer.
        pid_file.unlink(missing_ok=True)

    def stop(self) -> None:
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(60)
            except subprocess.TimeoutExpired:
                self.daemon.kill()


class Podman(Engine):
    name = "podman"
    program = PODMAN

    def __init__(self, folder: pathlib.Path, programs: pathlib.Path, account: str = "root") -> None:
        """As another account than root it is a rootless one, with that account's subordinate ids."""
        missing = _missing((PODMAN, "/usr/sbin/runc", "/usr/bin/newuidmap"))
        if missing:
            raise NotAvailable(f"{missing} is missing; scripts/install-packages containers installs it")
        self.folder = folder / "p"
        self.folder.mkdir()
        if account != "root":
            self.as_user = ["setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups"]
            shutil.chown(self.folder, account, account)
        # No service manager is needed; limits below what a machine without CAP_SYS_RESOURCE may give.
        (self.folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=10000:10000", "nproc=20000:20000"]\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
            f'tmp_dir = "{self.folder}/tmp"\n')
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{self.folder}/run"\ngraphroot = "{self.folder}/data"\n')
        context = build_context(programs)
        try:
            self.run("build", "--quiet", "--isolation", "chroot", "--tag", f"postgres:{programs.parent.name}", str(context))
        except AssertionError as error:
            raise NotAvailable(f"podman does not run here: {error}") from None

    def environment(self) -> dict[str, str]:
        return {"CONTAINERS_CONF": f"{self.folder}/containers.conf", "CONTAINERS_STORAGE_CONF": f"{self.folder}/storage.conf",
                "XDG_RUNTIME_DIR": str(self.folder), "HOME": str(self.folder)}

    def stop(self) -> None:
        self.run("rm", "--force", "--all", "--time", "1", check=False)
        if self.as_user:
            self.run("system", "migrate", check=False)  # ends the process that holds its namespaces, and every mount it saw


ENGINES = {"docker": Docker, "podman": Podman}
