"""What the machine holds of one test: its processes, mounts, loop devices and ports; found by the test's own folder.

Everything here is keyed by a folder that only one test uses, so no process or device of anybody else is ever touched.
"""

import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

PORTS_PER_SLOT = 200
FIRST_PORT = 20000  # below the kernel's ephemeral ports (32768), so that no outgoing connection sits on one
SLOTS = 60

# The folders of tests, and what the sweep of stale ones looks for. Short: a socket's path has 107 bytes.
BASE_PREFIX = "/tmp/pgt."
LONGEST_TEST = 3600  # seconds, and none takes half of it: an older folder of a unit test is nobody's


# Where every instruction is emulated (tests/lab), everything takes so many times as long, and so do the tests wait.
PATIENCE = int(os.environ.get("PGTWIG_TEST_PATIENCE", "1"))


def is_root() -> bool:
    return os.geteuid() == 0


@dataclass(frozen=True)
class Process:
    pid: int
    start_ticks: str  # with the pid, tells one process from every other since boot
    command: str

    def signal(self, number: int) -> None:
        if _start_ticks(self.pid) == self.start_ticks:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def is_alive(self) -> bool:
        return _start_ticks(self.pid) == self.start_ticks


def _stat_fields(pid: int) -> list[str]:
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2:].split()


def _start_ticks(pid: int) -> str | None:
    fields = _stat_fields(pid)
    return fields[19] if fields and not (fields[0] == "Z" and _has_ended(pid)) else None


def _has_ended(zombie: int) -> bool:
    """A killed one is a zombie as soon as its first thread has ended; the files and sockets are open until the last has."""
    try:
        return len(os.listdir(f"/proc/{zombie}/task")) <= 1
    except OSError:
        return True


def process(pid: int) -> Process | None:
    ticks = _start_ticks(pid)
    if ticks is None:
        return None
    try:
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    return Process(pid, ticks, command)


def threads_of(pid: int) -> str:
    """What each is doing, for the message of a test in which a process doesn't end."""
    lines = [str(process(pid))]
    for thread in sorted(pathlib.Path(f"/proc/{pid}/task").glob("*")):
        try:
            lines.append(f"{thread.name} {_stat_fields(int(thread.name))[0]} {(thread / 'comm').read_text().strip()} "
                         f"in {(thread / 'wchan').read_text()} {(thread / 'syscall').read_text().split()[0]}")
        except (OSError, IndexError):
            pass
    return "\n".join(lines)


def parent_pid(pid: int) -> int | None:
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else None


def processes_of(folder: pathlib.Path) -> list[Process]:
    """Those that work in the folder, were given its path, or carry it in PGTWIG_ROOT; but not this one or its parents."""
    own = set()
    pid = os.getpid()
    while pid:
        own.add(pid)
        pid = parent_pid(pid) or 0
    found = []
    marker = str(folder)
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in own:
            continue
        if _belongs_to(entry, marker):
            known = process(int(entry))
            if known:
                found.append(known)
    return found


def _belongs_to(pid: str, marker: str) -> bool:
    def within(path: str) -> bool:
        return path == marker or path.startswith(marker + "/")

    try:
        if within(os.readlink(f"/proc/{pid}/cwd")):
            return True
        arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        if marker + "/" in arguments or arguments.rstrip("\0").endswith(marker):
            return True
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        return any(within(entry.removeprefix("PGTWIG_ROOT=")) for entry in environment if entry.startswith("PGTWIG_ROOT="))
    except OSError:
        return False


def end_processes(folder: pathlib.Path, patience: float = 10) -> None:
    """SIGQUIT (which PostgreSQL takes as 'stop at once'), then SIGKILL."""
    for number, seconds in ((signal.SIGQUIT, patience), (signal.SIGKILL, patience)):
        left = processes_of(folder)
        for one in left:
            one.signal(number)
        deadline = time.monotonic() + seconds
        while any(one.is_alive() for one in left) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not processes_of(folder):
            return


def mounts_below(folder: pathlib.Path) -> list[str]:
    """Mount points in and at the folder, deepest first."""
    points = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point == str(folder) or point.startswith(f"{folder}/"):
            points.append(point)
    return sorted(points, key=len, reverse=True)


def loop_devices_below(folder: pathlib.Path) -> list[str]:
    """Loop devices whose backing file is or was in the folder."""
    devices = []
    for backing in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            path = backing.read_text().strip()
        except OSError:
            continue
        if path.startswith(f"{folder}/"):
            devices.append("/dev/" + backing.parent.parent.name)
    return devices


def has_zfs() -> bool:
    return pathlib.Path("/sys/module/zfs").exists() and shutil.which("zpool") is not None


def zpools_below(folder: pathlib.Path) -> list[str]:
    """Imported zpools that lie on a file in the folder."""
    if not has_zfs():
        return []
    pools = []
    name = ""
    for line in subprocess.run(["zpool", "list", "-vHP", "-o", "name"], capture_output=True, text=True).stdout.splitlines():
        first = line.strip().split("\t")[0]
        if not line.startswith("\t"):
            name = first
        elif first.startswith(f"{folder}/"):
            pools.append(name)
    return sorted(set(pools))


def unmount_below(folder: pathlib.Path) -> None:
    for pool in zpools_below(folder):
        subprocess.run(["zpool", "destroy", "-f", pool], capture_output=True)
    for point in mounts_below(folder):
        if subprocess.run(["umount", point], capture_output=True).returncode != 0:
            subprocess.run(["umount", "--lazy", point], capture_output=True)
    for device in loop_devices_below(folder):
        subprocess.run(["losetup", "-d", device], capture_output=True)


def remove_folder(folder: pathlib.Path) -> None:
    end_processes(folder)
    unmount_below(folder)
    subprocess.run(["chattr", "-R", "-f", "-i", str(folder)], capture_output=True)
    for subvolume in sorted(_read_only_subvolumes(folder), reverse=True):
        subprocess.run(["btrfs", "property", "set", subvolume, "ro", "false"], capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def _read_only_subvolumes(folder: pathlib.Path) -> list[str]:
    found = []
    for path, folders, _ in os.walk(folder):
        for name in folders:
            candidate = os.path.join(path, name)
            # 256 is the inode number of every Btrfs subvolume's root (BTRFS_FIRST_FREE_OBJECTID).
            if os.lstat(candidate).st_ino == 256 and not os.access(candidate, os.W_OK):
                found.append(candidate)
    return found


class Base:
    """A test's own folder, locked for as long as the test lives, so that a sweep can tell stale ones."""

    def __init__(self) -> None:
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=BASE_PREFIX))
        self.path.chmod(0o755)  # the instances' user passes through it
        self._lock = open(self.path / "owner.lock", "w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        remove_folder(self.path)
        self._lock.close()


def stale_bases() -> list[pathlib.Path]:
    """Folders whose test is no more: it was killed before it could tidy up."""
    stale = []
    for path in pathlib.Path("/tmp").glob(BASE_PREFIX.removeprefix("/tmp/") + "*"):
        lock_file = path / "owner.lock"
        try:
            with open(lock_file, "r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stale.append(path)
        except BlockingIOError:
            continue
        except OSError:
            continue
    for place in (pathlib.Path("/tmp"), pathlib.Path("/dev/shm")):
        for pattern in ("pgtwig-test-??????", "pgtwig-engine-??????"):
            stale += [path for path in place.glob(pattern) if time.time() - path.stat().st_mtime > LONGEST_TEST]
    return stale


class PortSlot:
    """A range of ports that no other test uses at the same time, on this machine."""

    def __init__(self) -> None:
        folder = pathlib.Path("/tmp/pgtwig-test-ports")
        folder.mkdir(exist_ok=True)
        for slot in range(SLOTS):
            handle = open(folder / str(slot), "w")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                continue
            self._handle = handle
            self.number = slot
            self.first = FIRST_PORT + slot * PORTS_PER_SLOT
            self.last = self.first + PORTS_PER_SLOT - 1
            return
        raise RuntimeError(f"all {SLOTS} port ranges of the tests are in use")

    def release(self) -> None:
        self._handle.close()


class ImageFileSystem:
    """A real file system of its own, from an image on a loop device or, for ZFS, a zpool on a file. Root only."""

    def __init__(self, kind: str, image: pathlib.Path, mount_point: pathlib.Path, size: int = 6 << 30) -> None:
        self.kind = kind
        self.image = image
        self.mount_point = mount_point
        self.zpool = f"{image.parent.name}.{image.name}"
        with open(image, "wb") as file:
            file.truncate(size)
        make = {"btrfs": ["mkfs.btrfs", "-q"], "xfs": ["mkfs.xfs", "-q"], "ext4": ["mkfs.ext4", "-q"],
                "zfs": ["zpool", "create", "-o", "cachefile=none", "-m", str(mount_point), self.zpool]}[kind]
        mount_point.mkdir(exist_ok=True)
        subprocess.run([*make, str(image)], check=True, capture_output=True)
        if kind != "zfs":
            self.mount()

    def mount(self, options: str = "noatime") -> None:
        if self.kind == "zfs":
            read_only = ["-o", "readonly=on"] if options == "ro" else []
            command = ["zpool", "import", "-o", "cachefile=none", *read_only, "-d", str(self.image), self.zpool]
        else:
            command = ["mount", "-o", f"loop,{options}", str(self.image), str(self.mount_point)]
        subprocess.run(command, check=True, capture_output=True)
        if options != "ro":
            self.mount_point.chmod(0o755)

    def unmount(self) -> None:
        command = ["zpool", "export", self.zpool] if self.kind == "zfs" else ["umount", str(self.mount_point)]
        subprocess.run(command, check=True, capture_output=True)

    def remount(self, options: str) -> None:
        if self.kind == "zfs":
            self.unmount()
            self.mount(options)
            return
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.mount_point)], check=True, capture_output=True)
