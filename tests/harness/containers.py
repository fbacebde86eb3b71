"""Container engines of a test's own: Debian's dockerd and podman, started and stopped by the test, with an image made of the
PostgreSQL that is installed. No registry, no service of the machine and no network is used."""

import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import time
from typing import Callable

from . import machine

# What every test would make again, and all the same: made by the first that needs it.
CACHE = pathlib.Path(__file__).resolve().parents[2] / "build/test-images"
RECIPE = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:8]
# Debian's, whatever else called docker comes first on PATH: a client alone can't run anything.
DOCKER = "/usr/bin/docker"
DOCKERD = shutil.which("dockerd", path="/usr/sbin:/usr/bin") or "/usr/sbin/dockerd"
PODMAN = "/usr/bin/podman"
RUNC = shutil.which("runc", path="/usr/sbin:/usr/bin") or "/usr/sbin/runc"

# The tag of each is postgres:VERSION with its suffix. All of them run the same PostgreSQL, which is the machine's own.
LAYOUTS = {
    # A PostgreSQL, and nothing else decided.
    "": """FROM scratch
ADD root.tar /
ENV PATH=/usr/local/bin:/usr/bin:/bin:{programs} PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
CMD ["postgres"]
""",
    # As the official images are: an entry point that would make a cluster of its own, a data directory of user 999.
    "-official": """FROM scratch
ADD root.tar /
ADD --chown=999:999 home.tar /var/lib/postgresql/
ENV PATH={programs}:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data LANG=en_US.utf8 PG_MAJOR={version}
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
""",
    # As those with Alpine are: user 70, programs in /usr/local/bin, started by a loader that is called as musl's is (it is glibc's:
    # no PostgreSQL of Debian's is linked with musl), which is what tells whose C library sorts its texts.
    "-alpine": """FROM scratch
ADD root.tar /
ADD --chown=70:70 home.tar /var/lib/postgresql/
ENV PATH=/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data LANG=en_US.utf8
VOLUME /var/lib/postgresql/data
USER 70
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
CMD ["postgres"]
""",
}
ENTRY_POINT = """#!/bin/sh
echo "the entry point of the image was run" >&2
exit 99
"""
GLIBC_LOADER = b"/lib64/ld-linux-x86-64.so.2"
MUSL_LOADER = b"/lib/ld-musl-x86_64.so.1"
# What is not copied: JIT, whose LLVM is larger than all the rest, and what no test reads.
LEFT_OUT = shutil.ignore_patterns("bitcode", "llvmjit*", "pgxs", "man", "right")
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
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=LEFT_OUT)
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
    copied = root / str(programs.parent).lstrip("/")
    executables = [path for path in (copied / "bin").iterdir() if path.is_file()] + list((copied / "lib").glob("*.so"))
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


def _make_official(root: pathlib.Path) -> None:
    entry_point = root / "usr/local/bin/docker-entrypoint.sh"
    entry_point.parent.mkdir(parents=True)
    entry_point.write_text(ENTRY_POINT)
    entry_point.chmod(0o755)


def _make_alpine(programs: pathlib.Path, root: pathlib.Path) -> None:
    _make_official(root)
    shutil.copy((root / GLIBC_LOADER.decode().lstrip("/")).resolve(), root / MUSL_LOADER.decode().lstrip("/"))
    for program in (root / str(programs).lstrip("/")).iterdir():
        content = program.read_bytes()
        moved = root / "usr/local/bin" / program.name
        moved.write_bytes(content.replace(GLIBC_LOADER, MUSL_LOADER.ljust(len(GLIBC_LOADER), b"\0"), 1))
        moved.chmod(0o755)
        program.unlink()
    # Where PostgreSQL looks for them from there.
    (root / str(programs.parent / "lib").lstrip("/")).rename(root / "usr/local/lib")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\npostgres:x:70:\n")


def made_once(name: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """A folder of the cache; `make` fills it where it is missing. A change of this file makes everything anew."""
    folder = CACHE / f"{name}-{RECIPE}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for older in CACHE.glob(f"{name}-????????"):
                shutil.rmtree(older)
            making = CACHE / f"{name}.making"  # perhaps of a test that was killed
            if making.exists():
                shutil.rmtree(making)
            making.mkdir()
            make(making)
            making.rename(folder)
    return folder


def stamp(program: str) -> str:
    """What changes with the version of an engine."""
    status = os.stat(program)
    return f"{pathlib.Path(program).name}-{status.st_size}-{int(status.st_mtime)}"


def cache_name(programs: pathlib.Path, layout: str = "") -> str:
    """Of what is made of the installed PostgreSQL."""
    said = subprocess.run([programs / "postgres", "-V"], capture_output=True, text=True).stdout
    return "".join(letter if letter.isalnum() or letter == "." else "-" for letter in said.strip()) + layout


def build_context(programs: pathlib.Path, layout: str = "") -> pathlib.Path:
    """A folder that `docker build` takes, of the installed PostgreSQL."""
    def make(folder: pathlib.Path) -> None:
        _make_root(programs, folder / "root")
        if layout == "-official":
            _make_official(folder / "root")
        elif layout == "-alpine":
            _make_alpine(programs, folder / "root")
        (folder / "home/data").mkdir(parents=True)
        for part in ("root", "home"):
            subprocess.run(["tar", "--numeric-owner", "--owner=0", "--group=0", "-C", folder / part, "-cf", folder / f"{part}.tar", "."],
                           check=True)
            shutil.rmtree(folder / part)
        (folder / "Dockerfile").write_text(LAYOUTS[layout].format(programs=programs, version=programs.parent.name))

    return made_once(cache_name(programs, layout), make)


def test_network(bridge: str) -> str:
    """The first three parts of the addresses behind a bridge, from the range that is for tests (RFC 2544)."""
    return f"198.18.{int(''.join(letter for letter in bridge if letter.isdigit())) % 256}"


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

    def __init__(self, folder: pathlib.Path, programs: pathlib.Path, bridge: str = "") -> None:
        """With the name of a bridge, which it makes, containers can have a network of their own; else only the machine's."""
        missing = _missing((DOCKER, DOCKERD, "/usr/sbin/iptables"))
        if missing:
            raise NotAvailable(f"{missing} is missing; scripts/install-packages containers installs it")
        self.folder = folder / "d"
        self.folder.mkdir()
        self.daemon: subprocess.Popen | None = None
        self.programs = programs
        self.bridge = bridge
        if bridge:
            self._make_bridge()
        subprocess.run(["cp", "--archive", "--reflink=auto", self._data_with_image(), self.folder / "data"], check=True)
        self.start()

    def _data_with_image(self) -> pathlib.Path:
        """What a dockerd of this version keeps once the image was built."""
        def make(into: pathlib.Path) -> None:
            self.start()
            self.build()
            self._end_daemon()
            if self.daemon.returncode != 0:
                raise AssertionError("dockerd does not end cleanly: " + (self.folder / "log").read_text(errors="replace")[-500:])
            subprocess.run(["cp", "--archive", f"{self.folder}/data/.", into], check=True)
            shutil.rmtree(self.folder / "data")

        return made_once(f"{cache_name(self.programs)}-{stamp(DOCKERD)}", make)

    def build(self, layout: str = "") -> str:
        """Makes the image and returns its name."""
        reference = f"postgres:{self.programs.parent.name}{layout}"
        subprocess.run([DOCKER, "build", "--quiet", "--tag", reference, str(build_context(self.programs, layout))],
                       env=os.environ | self.environment() | {"DOCKER_BUILDKIT": "0"}, check=True, capture_output=True, timeout=120)
        return reference

    def _make_bridge(self) -> None:
        for command in (["link", "add", self.bridge, "type", "bridge"],
                        ["address", "add", f"{test_network(self.bridge)}.1/24", "dev", self.bridge], ["link", "set", self.bridge, "up"]):
            done = subprocess.run(["ip", *command], capture_output=True, text=True)
            if done.returncode != 0:
                raise NotAvailable(f"this machine makes no bridge: ip {' '.join(command)}: {done.stderr.strip()}")

    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": f"unix://{self.folder}/sock"}

    def start(self) -> None:
        log = open(self.folder / "log", "ab")
        # Several tests have one at once, so none touches the machine's own bridges and rules. Without rules a port of a container is
        # forwarded by docker-proxy, as from 127.0.0.1 it always is.
        self.daemon = subprocess.Popen([DOCKERD, "--data-root", self.folder / "data", "--exec-root", self.folder / "exec", "--pidfile",
                                        self.folder / "pid", "--host", f"unix://{self.folder}/sock", "--bridge", self.bridge or "none",
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

    def _end_daemon(self) -> None:
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(60)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()

    def stop(self) -> None:
        self._end_daemon()
        if self.bridge:
            subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True)


class Podman(Engine):
    name = "podman"
    program = PODMAN

    def __init__(self, folder: pathlib.Path, programs: pathlib.Path, account: str = "root", bridge: str = "") -> None:
        """As another account than root it is a rootless one, with that account's subordinate ids. With the name of a bridge its
        containers' networks have addresses of their own, else those that podman would take anyway."""
        missing = _missing((PODMAN, RUNC, "/usr/bin/newuidmap"))
        if missing:
            raise NotAvailable(f"{missing} is missing; scripts/install-packages containers installs it")
        self.folder = folder / "p"
        self.folder.mkdir()
        self.programs = programs
        if account != "root":
            self.as_user = ["setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups"]
            shutil.chown(self.folder, account, account)
        # No service manager is needed; limits below what a machine without CAP_SYS_RESOURCE may give.
        (self.folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=10000:10000", "nproc=20000:20000"]\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
            f'tmp_dir = "{self.folder}/tmp"\n'
            + (f'[network]\nnetwork_config_dir = "{self.folder}/networks"\ndefault_network = "{bridge}"\n'
               f'default_subnet = "{test_network(bridge)}.0/24"\n' if bridge else ""))
        try:
            if account == "root":
                self._configure_storage(self._store_with_image())
            else:  # another user's ids stand in its files
                self._configure_storage()
                self._build()
        except AssertionError as error:
            raise NotAvailable(f"podman does not run here: {error}") from None

    def _configure_storage(self, images: pathlib.Path | None = None) -> None:
        """`images`: a store with some, which it only reads; what it makes itself is the test's own."""
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{self.folder}/run"\ngraphroot = "{self.folder}/data"\n'
            + (f'[storage.options]\nadditionalimagestores = ["{images}"]\n' if images else ""))

    def _build(self) -> None:
        self.run("build", "--quiet", "--isolation", "chroot", "--tag", f"postgres:{self.programs.parent.name}",
                 str(build_context(self.programs)))

    def _store_with_image(self) -> pathlib.Path:
        # Made where the test's own folder is, as it leaves that mounted, and what a test leaves is swept up.
        def make(into: pathlib.Path) -> None:
            self._configure_storage()
            self._build()
            subprocess.run(["cp", "--archive", f"{self.folder}/data/.", into], check=True)
            machine.unmount_below(self.folder)
            for folder in ("data", "run", "tmp"):  # which know of the store that they were made with
                shutil.rmtree(self.folder / folder)

        return made_once(f"{cache_name(self.programs)}-{stamp(PODMAN)}", make)

    def environment(self) -> dict[str, str]:
        return {"CONTAINERS_CONF": f"{self.folder}/containers.conf", "CONTAINERS_STORAGE_CONF": f"{self.folder}/storage.conf",
                "XDG_RUNTIME_DIR": str(self.folder), "HOME": str(self.folder)}

    def stop(self) -> None:
        self.run("rm", "--force", "--all", "--time", "1", check=False)
        if self.as_user:
            self.run("system", "migrate", check=False)  # ends the process that holds its namespaces, and every mount it saw


ENGINES = {"docker": Docker, "podman": Podman}
