"""Create, reset and delete of one branch, against the floor or against each other."""

import os
import pathlib
import subprocess
import tempfile
import time

from .floor import Floor
from .report import Row, median, percentile
from .stand import Branch, Project, Stand, Unavailable, milliseconds, wait_until

DIRTY_BYTES = 1 << 30
LOAD_RATE = 200
LOAD_SCALE = 10


def steps_of(views: list[dict]) -> dict[str, float]:
    times: dict[str, list[float]] = {}
    for view in views:
        for step in view.get("steps") or []:
            times.setdefault(step["name"], []).append(step["ms"])
    return {name: median(values) for name, values in times.items()}


def _against_floor(project: Project, n: int, method: str, parent_runs: bool = True, before=lambda: None):
    """n samples of each, in turn, the one that goes first changing each time."""
    floor = Floor(project)
    ours: list[float] = []
    base: list[float] = []
    views: list[dict] = []
    floor_steps: list[dict] = []

    def measure_ours() -> None:
        before()
        branch, ms = project.create()
        ours.append(ms)
        views.append(branch.view)
        branch.delete()
        project.wait_until_swept()

    def measure_floor() -> None:
        before()
        sample = floor.sample(method, parent_runs)
        base.append(sample.ms)
        floor_steps.append({"steps": [{"name": f"floor: {name}", "ms": ms} for name, ms in sample.steps.items()]})
        sample.drop()

    for i in range(n + 1):
        for measure in (measure_ours, measure_floor) if i % 2 else (measure_floor, measure_ours):
            measure()
    # The first of each fills caches.
    return ours[1:], base[1:], steps_of(views[1:]) | steps_of(floor_steps[1:])


def create_btrfs_idle(stand: Stand) -> list[Row]:
    ours, base, steps = _against_floor(stand.project("bt", "btrfs"), 25, "snapshot")
    return [Row.compare("create_btrfs_idle", "create, Btrfs, idle parent", ours, "bare program", base, most=1.15,
                        steps=steps)]


class Load:
    """pgbench at a fixed rate on a branch, with the latency of each transaction."""

    def __init__(self, branch: Branch, seconds: int) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=branch.project.stand.folder)
        self.process = branch.pgbench("-n", "-R", str(LOAD_RATE), "-c", "2", "-T", str(seconds), "-l",
                                      cwd=self.folder.name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        branch.project.stand.loads.append(self.process)
        self.begun = time.time()

    def stop(self) -> list[tuple[float, float]]:
        """(end of the transaction, its milliseconds), by when it ended."""
        self.process.terminate()
        self.process.wait()
        transactions = []
        for path in pathlib.Path(self.folder.name).glob("pgbench_log.*"):
            for line in path.read_text().splitlines():
                fields = line.split()
                # The last line may have been cut off by the end; a skipped transaction has no time.
                if len(fields) >= 6 and fields[2].isdigit():
                    transactions.append((int(fields[4]) + int(fields[5]) / 1e6, int(fields[2]) / 1000))
        self.folder.cleanup()
        return transactions


def _fill(project: Project, scale: int) -> None:
    """pgbench's tables, unless they are there."""
    if project.main.sql("SELECT to_regclass('pgbench_accounts') IS NULL") == "t":
        filling = project.main.pgbench("-i", "-q", "-s", str(scale))
        output, _ = filling.communicate()
        if filling.returncode != 0:
            raise RuntimeError(output)


def create_btrfs_load(stand: Stand) -> list[Row]:
    project = stand.project("load", "btrfs")
    _fill(project, LOAD_SCALE)
    load = Load(project.main, 600)
    wait_until(lambda: time.time() - load.begun > 3, "the load has begun")
    try:
        ours, base, steps = _against_floor(project, 15, "snapshot")
    finally:
        load.stop()
    return [Row.compare("create_btrfs_load", f"create, Btrfs, parent at {LOAD_RATE} TPS", ours, "bare program", base,
                        most=1.15, steps=steps)]


def parent_latency(stand: Stand) -> list[Row]:
    """What ten creates in a row cost those who work on the parent."""
    project = stand.project("load", "btrfs")
    _fill(project, LOAD_SCALE)
    floor = Floor(project)
    load = Load(project.main, 600)
    windows: dict[str, list[tuple[float, float]]] = {"quiet": [], "ours": [], "floor": []}

    def during(kind: str, work) -> None:
        begun = time.time()
        work()
        windows[kind].append((begun, time.time()))

    wait_until(lambda: time.time() - load.begun > 3, "the load has begun")
    try:
        for _ in range(3):
            during("quiet", lambda: time.sleep(4))
            branches: list[Branch] = []
            during("ours", lambda: [branches.append(project.create()[0]) for _ in range(10)])
            for branch in branches:
                branch.delete()
            project.wait_until_swept()
            during("quiet", lambda: time.sleep(2))
            samples = []
            during("floor", lambda: [samples.append(floor.sample("snapshot")) for _ in range(10)])
            for sample in samples:
                sample.drop()
    finally:
        transactions = load.stop()
    latency = {kind: [ms for end, ms in transactions if any(first <= end <= last for first, last in times)]
               for kind, times in windows.items()}
    p99 = {kind: percentile(values, 99) for kind, values in latency.items()}
    if median(latency["quiet"]) > 100:
        raise Unavailable(f"this machine does not hold {LOAD_RATE} TPS now, so transactions only queue up")
    ratio = p99["ours"] / p99["quiet"]
    return [Row("parent_latency", "parent's p99 during ten creates", "ms", p99["ours"], against="undisturbed",
                base=p99["quiet"], ratio=ratio, target="<= 2 x", met=ratio <= 2, n=len(latency["ours"]),
                note=f"during ten floors it is {p99['floor']:.1f} ms; medians: {median(latency['quiet']):.1f} undisturbed, "
                     f"{median(latency['ours']):.1f} during creates, {median(latency['floor']):.1f} during floors")]


def create_btrfs_dirty(stand: Stand) -> list[Row]:
    """With a gigabyte of the source not yet written to disk, as after a bulk load."""
    project = stand.project("bt", "btrfs")
    file = project.main_volume / "bench-dirty"

    def make_dirty() -> None:
        block = os.urandom(1 << 20)
        with open(file, "wb") as stream:
            for _ in range(DIRTY_BYTES >> 20):
                stream.write(block)

    try:
        ours, base, steps = _against_floor(project, 15 if stand.full else 5, "snapshot", before=make_dirty)
    finally:
        file.unlink(missing_ok=True)
    return [Row.compare("create_btrfs_dirty", "create, Btrfs, 1 GB of dirty page cache", ours, "bare program", base,
                        most=1.15, steps=steps)]


def create_xfs_running(stand: Stand) -> list[Row]:
    ours, base, steps = _against_floor(stand.project("xf", "xfs"), 15, "cp")
    return [Row.compare("create_xfs_running", "create, XFS, running source", ours, "cp in backup mode", base, most=0.8,
                        steps=steps)]


def create_xfs_stopped(stand: Stand) -> list[Row]:
    project = stand.project("xfs-stopped", "xfs")
    stand.request("POST", project.main.path + "/stop", {})
    ours, base, steps = _against_floor(project, 15, "cp", parent_runs=False)
    return [Row.compare("create_xfs_stopped", "create, XFS, stopped source", ours, "cp --reflink", base, most=0.8,
                        steps=steps)]


def reset(stand: Stand) -> list[Row]:
    project = stand.project("bt", "btrfs")
    kept, _ = project.create()
    resets: list[float] = []
    creates: list[float] = []
    views: list[dict] = []
    for i in range(16):
        branch, ms = project.create()
        branch.delete()
        project.wait_until_swept()
        creates.append(ms)
        kept.sql("CREATE TABLE IF NOT EXISTS change AS SELECT 1")
        resets.append(project.reset(kept))
        views.append(kept.view)
        project.wait_until_swept()
    kept.delete()
    return [Row.compare("reset", "reset to first row, Btrfs", resets[1:], "create", creates[1:], most=1.2,
                        steps=steps_of(views))]


def delete(stand: Stand) -> list[Row]:
    project = stand.project("bt", "btrfs")
    creates: list[float] = []
    deletes: list[float] = []
    gone: list[float] = []
    for _ in range(16):
        branch, ms = project.create()
        creates.append(ms)
        begun = milliseconds()
        branch.delete()
        deletes.append(milliseconds() - begun)
        project.wait_until_swept()
        gone.append(milliseconds() - begun)
    return [Row.compare("delete", "delete as the caller sees it, Btrfs", deletes[1:], "create", creates[1:], most=0.3),
            Row.bounded("delete_swept", "delete until the volume is gone", gone[1:], "ms", None), _space_back(project)]


def _space_back(project: Project) -> Row:
    """A branch with 64 MB of its own, and how long the file system takes to give them back."""
    mount = project.stand.file_system("btrfs")

    def free() -> int:
        space = os.statvfs(mount)
        return space.f_bfree * space.f_frsize

    times = []
    # Btrfs gives space back after its next commit, half a minute away at worst: few samples by default.
    for _ in range(5 if project.stand.full else 1):
        branch, _ = project.create()
        subprocess.run(["sync", "-f", str(mount)], check=True)
        before = free()
        branch.sql("CREATE TABLE own AS SELECT repeat(md5(i::text), 30) FROM generate_series(1, 60000) i")
        branch.sql("CHECKPOINT")
        subprocess.run(["sync", "-f", str(mount)], check=True)
        owned = before - free()
        begun = milliseconds()
        branch.delete()
        wait_until(lambda: free() > before - owned / 10, "the space is back", 120, 0.01)
        times.append(milliseconds() - begun)
    return Row.bounded("delete_space", "delete until 64 MB are free again, Btrfs", times, "ms", None)


ROWS = [create_btrfs_idle, create_btrfs_load, parent_latency, create_btrfs_dirty, create_xfs_running, create_xfs_stopped,
        reset, delete]
