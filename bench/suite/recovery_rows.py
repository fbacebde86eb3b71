"""Snapshots, recovery to a point in time, and what archiving costs those who write."""

import datetime
import os
import pathlib
import subprocess
import time

from .create_rows import steps_of
from .floor import Floor, Sample
from .growth_rows import tps_of
from .report import Row
from .stand import Branch, Project, Stand, Unavailable, milliseconds, wait_until

# A restore point one minute older than the target.
AGE_SECONDS = 60
REPLAY_SCALE = 30


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def _take_snapshot(project: Project, name: str) -> dict:
    return project.stand.request("POST", project.main.path + "/snapshots", {"name": name})


def _drop_snapshot(project: Project, name: str) -> None:
    project.stand.request("DELETE", f"{project.main.path}/snapshots/{name}")


def snapshot(stand: Stand) -> list[Row]:
    project = stand.project("snapshots", "btrfs")
    floor = Floor(project)
    ours: list[float] = []
    base: list[float] = []
    views: list[dict] = []
    for i in range(16):
        begun = milliseconds()
        views.append(_take_snapshot(project, f"s{i}"))
        ours.append(milliseconds() - begun)
        _drop_snapshot(project, f"s{i}")
        project.wait_until_swept()
        sample = floor.sample("snapshot")
        base.append(sum(ms for name, ms in sample.steps.items() if name not in ("start", "total")))
        sample.drop()
    stand.forget_project(project)
    return [Row.compare("snapshot", "snapshot of a running branch, Btrfs", ours[1:], "checkpoint, snapshot, commits", base[1:],
                        steps=steps_of(views[1:]))]


def recover_quiet(stand: Stand) -> list[Row]:
    """To a moment a minute after the restore point, with nothing to replay."""
    project = stand.project("recovery", "btrfs")
    project.main.sql("CREATE TABLE proof AS SELECT 1 AS one")
    _take_snapshot(project, "base")
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > AGE_SECONDS, "the restore point is a minute old", AGE_SECONDS + 10, 1)
    target = _now()
    recovered: list[float] = []
    created: list[float] = []
    views: list[dict] = []
    for i in range(16):
        for at in (target, None)[:: 1 if i % 2 else -1]:
            branch, ms = project.create(at=at)
            (recovered if at else created).append(ms)
            if at:
                views.append(branch.view)
            branch.delete()
            project.wait_until_swept()
    stand.forget_project(project)
    return [Row.compare("recover_quiet", "recovery, quiet, restore point a minute older, Btrfs", recovered[1:],
                        "plain create", created[1:], most=2, steps=steps_of(views[1:]))]


def _bare_recovery(floor: Floor, volume: pathlib.Path, segments: pathlib.Path, target: str) -> float:
    """Milliseconds that PostgreSQL alone takes to replay to `target` from a snapshot of `volume`."""
    place, instance, port = floor.place()
    begun = milliseconds()
    subprocess.run(["btrfs", "subvolume", "snapshot", str(volume), str(place)], check=True, capture_output=True)
    data = place / "data"
    (data / "recovery.signal").touch()
    os.chown(data / "recovery.signal", floor.template.uid, floor.template.gid)
    for name in ("postmaster.pid", "postmaster.opts"):
        (data / name).unlink(missing_ok=True)
    time_of_postgres = target.replace("T", " ").replace("Z", "+00")
    settings = {"restore_command": f"cp {segments}/%f %p", "recovery_target_time": time_of_postgres, "hot_standby": "off",
                "recovery_target_action": "promote"}
    with open(instance / "log", "wb") as log:
        server = subprocess.Popen([floor.template.program, *floor.arguments(place, instance, port, settings)],
                                  env=floor.template.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  user=floor.template.uid, group=floor.template.gid, extra_groups=[],
                                  start_new_session=True)

    def is_ready() -> bool:
        if server.poll() is not None:
            raise Unavailable("bare recovery: " + (instance / "log").read_text(errors="replace")[-1000:])
        return b"database system is ready to accept connections" in (instance / "log").read_bytes()

    wait_until(is_ready, "the bare server has recovered", 600, 0.005)
    floor.stand.first_row(floor.connection_string(port))
    took = milliseconds() - begun
    Sample({"pid": server.pid, "total_ns": took * 1e6}, place, instance, port).drop()
    return took


def replay(stand: Stand) -> list[Row]:
    """The WAL of a bulk load, replayed by us and by PostgreSQL alone from the same archive."""
    project = stand.project("replay", "btrfs")
    floor = Floor(project)
    snapshot_view = _take_snapshot(project, "before")
    first = int(project.main.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))
    filling = project.main.pgbench("-i", "-q", "-s", str(REPLAY_SCALE))
    output, _ = filling.communicate()
    if filling.returncode != 0:
        raise RuntimeError(output)
    target = _now()
    mib = (int(project.main.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")) - first) / (1 << 20)
    # A commit after the target, and all of it in the archive, as the bare server has nothing else.
    project.main.sql("CREATE TABLE after_target AS SELECT 1")
    switched = project.main.sql("SELECT pg_walfile_name(pg_switch_wal())")
    segments = project.pool / ".pgtwig-wal" / project.main_volume.name / "segments"
    wait_until(lambda: (segments / switched).exists(), "the last segment is archived", 120, 0.05)
    ours: list[float] = []
    base: list[float] = []
    views: list[dict] = []
    for _ in range(5 if stand.full else 3):
        branch, ms = project.create(at=target)
        ours.append(ms)
        views.append(branch.view)
        branch.delete()
        project.wait_until_swept()
        base.append(_bare_recovery(floor, project.pool / snapshot_view["id"], segments, target))
    stand.forget_project(project)
    rates = [mib / ms * 1000 for ms in ours]
    bare = [mib / ms * 1000 for ms in base]
    row = Row.compare("replay", f"replay of {mib:.0f} MiB of WAL, all of a recovery", rates, "PostgreSQL with cp", bare,
                      least=0.9, unit="MiB/s", steps=steps_of(views))
    row.value_p99 = row.base_p99 = None
    return [row]


class _Bare(Branch):
    """A bare server in the place of a branch."""

    def __init__(self, project: Project, sample: Sample) -> None:
        super().__init__(project, project.main.view | {"port": int(sample.port)})


def archiving(stand: Stand) -> list[Row]:
    """TPC-B on a branch, whose WAL is archived, and on a bare server that archives nothing."""
    seconds, rounds = (20, 5) if stand.full else (8, 3)
    rows = []
    for kind, title in (("xfs", "XFS"), ("btrfs", "Btrfs")):
        project = stand.project(f"archiving-{kind}", kind)
        filling = project.main.pgbench("-i", "-q", "-s", "10")
        output, _ = filling.communicate()
        if filling.returncode != 0:
            raise RuntimeError(output)
        branch, _ = project.create()
        sample = Floor(project).sample("cp" if kind == "xfs" else "snapshot", settings={"archive_mode": "off"})
        bare = _Bare(project, sample)
        rates: dict[str, list[float]] = {"archived": [], "not": []}
        for i in range(rounds):
            for who, server in (("archived", branch), ("not", bare))[:: 1 if i % 2 else -1]:
                server.sql("CHECKPOINT")
                rates[who].append(tps_of(server, seconds))
        sample.drop()
        row = Row.compare(f"archiving_{kind}", f"TPC-B with the WAL archived, {title}", rates["archived"], "not archived",
                          rates["not"], unit="TPS")
        row.value_p99 = row.base_p99 = None
        rows.append(row)
        stand.forget_project(project)
    return rows


ROWS = [snapshot, recover_quiet, replay, archiving]
