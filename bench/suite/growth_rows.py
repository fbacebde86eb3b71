"""How the cost of a create grows with what there is already: files, bytes, branches, running servers."""

import os
import pathlib
import subprocess

from .create_rows import _against_floor
from .floor import Floor
from .report import Row, median, percentile
from .stand import Project, Stand, machine, milliseconds

MIB = 1 << 20


def _pad_with_files(project: Project, count: int) -> None:
    """Files like those of small tables until the cluster has `count`; no catalog knows them, but every walk meets them."""
    data = project.main_volume / "data"
    present = sum(len(files) for _, _, files in os.walk(data))
    folder = data / "base" / project.main.sql("SELECT oid FROM pg_database WHERE datname = 'postgres'")
    owner = data.stat()
    block = bytes(8192)
    for number in range(max(count - present, 0)):
        path = folder / str(900_000_000 + number)
        path.write_bytes(block)
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o600)
    subprocess.run(["sync", "-f", str(data)], check=True)


def _interleaved(projects: dict[str, Project], n: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {key: [] for key in projects}
    for _ in range(n + 1):
        for key, project in projects.items():
            branch, ms = project.create()
            times[key].append(ms)
            branch.delete()
            project.wait_until_swept()
    return {key: values[1:] for key, values in times.items()}


def _growth_of_floor(projects: dict[str, Project], n: int) -> str:
    """What PostgreSQL itself makes of more files when it starts: how far the bare program grows from first to last."""
    first, *_, last = projects
    floors = {key: Floor(projects[key]) for key in (first, last)}
    times: dict[str, list[float]] = {first: [], last: []}
    for _ in range(n):
        for key, floor in floors.items():
            sample = floor.sample("snapshot")
            times[key].append(sample.ms)
            sample.drop()
    small, large = median(times[first]), median(times[last])
    return f"the bare program grows from {small:.0f} to {large:.0f} ms, {large / small:.2f} x"


def growth_files_btrfs(stand: Stand) -> list[Row]:
    counts = [1_000, 10_000, 100_000]
    projects = {}
    for count in counts:
        projects[f"{count:,}"] = project = stand.project(f"files-{count}", "btrfs")
        _pad_with_files(project, count)
    times = _interleaved(projects, 15)
    note = _growth_of_floor(projects, 5)
    for project in projects.values():
        stand.forget_project(project)
    first, *rest = times
    return [Row.compare(f"growth_files_btrfs_{key.replace(',', '')}", f"create, Btrfs, {key} files", times[key],
                        f"{first} files", times[first], most=1.1, note=note if key == rest[-1] else "") for key in rest]


def growth_files_xfs(stand: Stand) -> list[Row]:
    rows = []
    for count, n in ((1_000, 9), (10_000, 5)) + (((100_000, 5),) if stand.full else ()):
        project = stand.project(f"xfs-files-{count}", "xfs")
        _pad_with_files(project, count)
        ours, base, steps = _against_floor(project, n, "cp")
        rows.append(Row.compare(f"growth_files_xfs_{count}", f"create, XFS, {count:,} files", ours, "cp in backup mode", base,
                                most=0.8, steps=steps))
        stand.forget_project(project)
    return rows


def growth_size(stand: Stand) -> list[Row]:
    sizes = [100, 1_000] + ([10_000] if stand.full else [])
    projects = {}
    for size in sizes:
        projects[f"{size / 1000:g} GB"] = project = stand.project(f"size-{size}", "btrfs")
        # Rows of a kilobyte that do not compress.
        project.main.sql(f"CREATE TABLE fill AS SELECT i, string_agg(md5((i * 30 + j)::text), '') AS text FROM "
                         f"generate_series(1, {size * 1000}) i, generate_series(1, 30) j GROUP BY i"
                         if size <= 100 else
                         f"CREATE TABLE fill AS SELECT i, repeat(md5(i::text), 30) AS text FROM "
                         f"generate_series(1, {size * 1000}) i")
        project.main.sql("CHECKPOINT")
        subprocess.run(["sync", "-f", str(project.main_volume)], check=True)
    times = _interleaved(projects, 15)
    for project in projects.values():
        stand.forget_project(project)
    first, *rest = times
    return [Row.compare(f"growth_size_{key.split()[0]}", f"create, Btrfs, {key}", times[key], first, times[first], most=1.1)
            for key in rest]


def growth_stopped(stand: Stand) -> list[Row]:
    levels = [10, 100, 1_000] + ([5_000] if stand.full else [])
    project = stand.project("many", "btrfs")
    times: dict[int, list[float]] = {}
    there = 0
    begun = milliseconds()
    for level in levels:
        while there < level:
            project.create(start=False)
            there += 1
        samples = []
        for _ in range(26):
            branch, ms = project.create()
            samples.append(ms)
            branch.delete()
            project.wait_until_swept()
        times[level] = samples[1:]
    seconds = (milliseconds() - begun) / 1000
    first = times[levels[0]]
    rows = []
    for level in levels[1:]:
        row = Row.compare(f"growth_stopped_{level}", f"create beside {level:,} stopped branches", times[level],
                          f"{levels[0]} branches", first, most=1.25)
        row.met = row.met and percentile(times[level], 99) <= 2 * percentile(first, 99)
        row.target += ", p99 <= 2 x"
        rows.append(row)
    rows[-1].note = f"{levels[-1]:,} branches and the samples between took {seconds:.0f} s"
    stand.forget_project(project)
    return rows


# Running servers ------------------------------------------------------------------------------------------------------

def _memory_below(pids: list[int]) -> float:
    """MiB of these processes and their children: each page counted once, shared out among those that map it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parents[int(entry)] = machine.parent_pid(int(entry))
    roots = set(pids)
    kilobytes = 0
    for pid, parent in parents.items():
        if pid in roots or parent in roots:
            try:
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        kilobytes += int(line.split()[1])
            except OSError:
                continue  # it has just ended
    return kilobytes / 1024


def _resident_mib(pid: int) -> float:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0


def memory(stand: Stand) -> list[Row]:
    count = 200 if stand.full else 100
    project = stand.project("memory", "btrfs")
    floor = Floor(project)
    begun = milliseconds()
    branches = [project.create()[0] for _ in range(count)]
    seconds = (milliseconds() - begun) / 1000
    ours = _memory_below([branch.view["pid"] for branch in branches])
    daemon = _resident_mib(stand.daemon_pid())
    for branch in branches:
        branch.delete()
    project.wait_until_swept()
    samples = [floor.sample("snapshot") for _ in range(count)]
    base = _memory_below([sample.pid for sample in samples])
    for sample in samples:
        sample.drop()
    stand.forget_project(project)
    row = Row.compare("memory", f"memory of {count} running branches", [ours], "bare servers", [base], most=1.1, unit="MiB",
                      note=f"{ours / count:.1f} MiB each (proportional set size); made in {seconds:.1f} s")
    row.value_p99 = row.base_p99 = None
    row.n = count
    return [row, Row.bounded("daemon_memory", f"the daemon beside {count} running branches", [daemon], "MiB", 64)]


def disk(stand: Stand) -> list[Row]:
    """Everything that the file system spends on a fresh, started branch, both copies of its metadata included."""
    project = stand.project("bt", "btrfs")
    mount = stand.file_system("btrfs")

    def used() -> dict[str, int]:
        subprocess.run(["sync", "-f", str(mount)], check=True)
        output = subprocess.run(["btrfs", "filesystem", "df", "--raw", str(mount)], check=True, capture_output=True,
                                text=True).stdout
        kinds = {}
        for line in output.splitlines():
            kind, numbers = line.split(":")
            copies = 2 if "DUP" in kind else 1
            if not kind.startswith("GlobalReserve"):
                kinds[kind.split(",")[0]] = copies * int(numbers.split("used=")[1])
        return kinds

    count = 10
    project.wait_until_swept()
    before = used()
    branches = [project.create()[0] for _ in range(count)]
    after = used()
    for branch in branches:
        branch.delete()
    project.wait_until_swept()
    grown = {kind: (after[kind] - before[kind]) / count / 1024 for kind in after}
    return [Row.bounded("disk", "disk of a fresh, started branch, Btrfs", [sum(grown.values())], "KiB", 512,
                        note=", ".join(f"{kind.lower()} {size:.0f} KiB" for kind, size in grown.items()))]


# Throughput -----------------------------------------------------------------------------------------------------------

def tps_of(branch, seconds: int) -> float:
    output, _ = branch.pgbench("-n", "-c", "4", "-j", "2", "-T", str(seconds)).communicate()
    for line in output.splitlines():
        if line.startswith("tps = "):
            return float(line.split()[2])
    raise RuntimeError(output)


def tps(stand: Stand) -> list[Row]:
    seconds, rounds = (20, 5) if stand.full else (8, 3)
    rows = []
    for kind, title, least in (("xfs", "XFS", 0.95), ("btrfs", "Btrfs", 0.85), ("ext4", "ext4 (copy)", None)):
        project = stand.project(f"tps-{kind}", kind)
        filling = project.main.pgbench("-i", "-q", "-s", "10")
        output, _ = filling.communicate()
        if filling.returncode != 0:
            raise RuntimeError(output)
        settings = {name: project.main.sql(f"SHOW {name}") for name in ("shared_buffers",)}
        branch, _ = project.create(settings=settings)
        rates: dict[str, list[float]] = {"parent": [], "branch": []}
        for i in range(rounds):
            for who, target in (("parent", project.main), ("branch", branch))[:: 1 if i % 2 else -1]:
                target.sql("CHECKPOINT")
                rates[who].append(tps_of(target, seconds))
        row = Row.compare(f"tps_{kind}", f"TPC-B on a branch, {title}", rates["branch"], "its parent", rates["parent"],
                          least=least, unit="TPS")
        row.value_p99 = row.base_p99 = None
        rows.append(row)
        stand.forget_project(project)
    return rows


ROWS = [disk, growth_files_btrfs, growth_files_xfs, growth_size, tps, memory, growth_stopped]
