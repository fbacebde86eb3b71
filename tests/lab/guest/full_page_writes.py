#!/usr/bin/env python3
"""What full_page_writes costs on a dataset as pgtwig makes them: WAL for the same work, and how long that takes, with and without,
in turns. Decision 14 has the numbers.

    tests/lab/lab.py run -- tests/lab/guest/full_page_writes.py
"""

import pathlib
import statistics
import subprocess
import time

PROGRAMS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
TABLES = 5  # pgbench's scale: 75 MB
TRANSACTIONS = 2000  # of a turn, which begins with a checkpoint
TURNS = 3


def run(*command: str) -> str:
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def as_postgres(program: str, *arguments: str) -> str:
    return run("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", str(PROGRAMS / program), *arguments)


def sql(statement: str) -> str:
    return as_postgres("psql", "-h", "/tmp", "-XAtqc", statement, "postgres")


def start() -> None:
    run("truncate", "-s", "4G", "/tmp/measured.file")
    run("zpool", "create", "-o", "ashift=12", "-o", "cachefile=none", "-O", "recordsize=8k", "-O", "compression=lz4", "-O", "atime=off",
        "-m", "/tmp/measured", "measured", "/tmp/measured.file")
    run("chown", "postgres:", "/tmp/measured")
    as_postgres("initdb", "-D", "/tmp/measured/data", "-N")
    as_postgres("pg_ctl", "start", "-w", "-D", "/tmp/measured/data", "-l", "/tmp/measured/log",
                "-o", "-c listen_addresses= -k /tmp -c shared_buffers=256MB -c max_wal_size=4GB -c checkpoint_timeout=1h -c autovacuum=off")
    as_postgres("pgbench", "-h", "/tmp", "-i", "-q", "-s", str(TABLES), "postgres")


def turn(full_page_writes: str) -> tuple[int, float]:
    """Bytes of WAL, and transactions a second."""
    sql(f"ALTER SYSTEM SET full_page_writes = {full_page_writes}")
    sql("SELECT pg_reload_conf()")
    while sql("SHOW full_page_writes") != full_page_writes:
        time.sleep(0.1)
    sql("CHECKPOINT")
    before = sql("SELECT pg_current_wal_insert_lsn()")
    begun = time.monotonic()
    as_postgres("pgbench", "-h", "/tmp", "-n", "-c", "2", "-t", str(TRANSACTIONS // 2), "postgres")
    seconds = time.monotonic() - begun
    return int(sql(f"SELECT pg_current_wal_insert_lsn() - '{before}'::pg_lsn")), TRANSACTIONS / seconds


def main() -> None:
    start()
    turn("on")  # what comes first finds everything cold
    measured = {"on": [], "off": []}
    for _ in range(TURNS):
        for value, turns in measured.items():
            turns.append(turn(value))
            print(f"full_page_writes {value:3}: {turns[-1][0] / TRANSACTIONS:8.0f} bytes of WAL a transaction, {turns[-1][1]:6.1f} TPS", flush=True)
    wal = {value: statistics.median(one for one, _ in turns) for value, turns in measured.items()}
    tps = {value: statistics.median(one for _, one in turns) for value, turns in measured.items()}
    print(f"medians of {TURNS}: WAL on/off {wal['on'] / wal['off']:.2f}, TPS on/off {tps['on'] / tps['off']:.2f}")
    as_postgres("pg_ctl", "stop", "-w", "-m", "immediate", "-D", "/tmp/measured/data")
    run("zpool", "destroy", "measured")


if __name__ == "__main__":
    main()
