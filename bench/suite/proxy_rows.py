"""The endpoint for all branches against a bare relay, pgbouncer and no endpoint at all; and how fast a branch wakes by it."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess

from .report import Row, median
from .stand import ENDPOINT_PORT, Branch, Stand, Unavailable, milliseconds, postgres_program, wait_until

RELAY_PORT, PGBOUNCER_PORT = ENDPOINT_PORT + 1, ENDPOINT_PORT + 2
# Many, as what else runs on the machine changes from second to second and should meet all of them alike. Yet not too short: each
# session gets a server with empty caches, except behind pgbouncer, which keeps its servers for the next.
ROUNDS = 21
SECONDS = 3


def _listens(port: int) -> bool:
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return any(wanted in line for line in pathlib.Path("/proc/net/tcp").read_text().splitlines())


class Rivals:
    """A bare relay and pgbouncer in session mode, both in front of one branch."""

    def __init__(self, stand: Stand, branch: Branch) -> None:
        self.processes: list[subprocess.Popen] = []
        self.loads = stand.loads  # what ends with the stand, should nobody stop it before
        self.pids = {"endpoint": stand.daemon_pid()}
        self.ports = {"direct": branch.view["port"], "endpoint": ENDPOINT_PORT}
        self._start("bare relay", [str(stand.floor_program.parent / "relay"), str(RELAY_PORT), str(branch.view["port"])],
                    RELAY_PORT)
        if shutil.which("pgbouncer"):
            folder = stand.folder / "pgbouncer"
            folder.mkdir(exist_ok=True)
            (folder / "users").write_text(f'"postgres" "{branch.project.password}"\n')
            (folder / "pgbouncer.ini").write_text(
                f"[databases]\n* = host=127.0.0.1 port={branch.view['port']}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                f"listen_port = {PGBOUNCER_PORT}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {folder}/users\n"
                "pool_mode = session\nmax_client_conn = 100\ndefault_pool_size = 50\n")
            subprocess.run(["chown", "-R", "nobody", str(folder)], check=True)
            self._start("pgbouncer", ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", shutil.which("pgbouncer"),
                                      "-q", str(folder / "pgbouncer.ini")], PGBOUNCER_PORT)

    def _start(self, name: str, command: list[str], port: int) -> None:
        if _listens(port):
            raise Unavailable(f"port {port} is another program's")
        # In a session of its own, as the daemon is: the kernel schedules by sessions (sched(7), autogroup), and all should stand alike.
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL, start_new_session=True))
        self.loads.append(self.processes[-1])
        wait_until(lambda: _listens(port), f"{command[0]} listens", 10)
        self.pids[name] = self.processes[-1].pid  # setpriv has become what it runs
        self.ports[name] = port

    def processor_seconds(self, name: str) -> float:
        """What it has used so far."""
        fields = pathlib.Path(f"/proc/{self.pids[name]}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # proc(5): utime and stime, the 14th and 15th

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def _select_only(branch: Branch, port: int, clients: int) -> tuple[float, int]:
    """Transactions in a second, the time for the log-ins not counted; and how many there were."""
    done = subprocess.run([postgres_program("pgbench"), "-n", "-S", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(SECONDS),
                           branch.endpoint_string(port)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    speed = re.search(r"tps = ([0-9.]+) \(without", done.stdout)
    count = re.search(r"transactions actually processed: ([0-9]+)", done.stdout)
    if done.returncode != 0 or not speed or not count:
        raise Unavailable(f"pgbench on port {port}: {done.stderr}")
    return float(speed.group(1)), int(count.group(1))


def proxy_select(stand: Stand) -> list[Row]:
    project = stand.project("bt", "btrfs")
    branch, _ = project.create()
    subprocess.run([postgres_program("pgbench"), "-iq", "-s", "10", branch.connection_string], check=True, capture_output=True)
    rivals = Rivals(stand, branch)
    names = list(rivals.ports)
    rows = []
    try:
        for clients in (1, 16):
            measured: dict[str, list[float]] = {name: [] for name in names}
            queries = dict.fromkeys(names, 0)
            used_before = {name: rivals.processor_seconds(name) for name in rivals.pids}
            for turn in range(ROUNDS):
                # In another order each time, so that nobody always follows the same one.
                first = turn // 2 % len(names)
                order = names[first:] + names[:first]
                for name in order if turn % 2 == 0 else reversed(order):
                    speed, count = _select_only(branch, rivals.ports[name], clients)
                    measured[name].append(speed)
                    queries[name] += count
            costs = ", ".join(f"{name} {(rivals.processor_seconds(name) - before) / queries[name] * 1e6:.1f}"
                              for name, before in used_before.items())
            ours = measured["endpoint"]
            what = f"select-only by the endpoint, {clients} client{'s' if clients > 1 else ''}"
            rows.append(Row.compare("proxy_select", what, ours, "bare relay", measured["bare relay"], least=0.95, unit="tps",
                                    note=f"direct {median(measured['direct']):.0f} tps; "
                                         f"processor time of a query, with its share of a log-in, which only pgbouncer checks itself: {costs} us"))
            if "pgbouncer" in measured:
                rows.append(Row.compare("proxy_select", what, ours, "pgbouncer, session mode", measured["pgbouncer"], least=1,
                                        unit="tps"))
    finally:
        rivals.stop()
        branch.delete()
        project.wait_until_swept()
    return rows


def proxy_wake(stand: Stand) -> list[Row]:
    """From the connection to the first row of a branch that sleeps, against its own postgres started by hand."""
    project = stand.project("bt", "btrfs")
    # Several, as each may be woken only so often.
    branches = [project.create()[0] for _ in range(3)]
    woken: list[float] = []
    bare: list[float] = []
    for count in range(18):
        branch = branches[count % len(branches)]
        branch.refresh()
        process = pathlib.Path(f"/proc/{branch.view['pid']}")
        command = process.joinpath("cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        program = os.readlink(process / "exe")
        data = os.readlink(process / "cwd")
        owner = pwd.getpwuid(process.stat().st_uid)
        stand.request("POST", f"{branch.path}/suspend")
        begun = milliseconds()
        server = subprocess.Popen(command, executable=program, cwd=data, user=owner.pw_uid, group=owner.pw_gid,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _first_row_of_starting(stand, branch)
            bare.append(milliseconds() - begun)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
        begun = milliseconds()
        stand.first_row(branch.endpoint_string(ENDPOINT_PORT))
        woken.append(milliseconds() - begun)
    for branch in branches:
        branch.delete()
    project.wait_until_swept()
    return [Row.compare("proxy_wake", "wake to first row by the endpoint", woken, "its postgres started by hand", bare, most=1.2)]


def _first_row_of_starting(stand: Stand, branch: Branch) -> None:
    def has_row() -> bool:
        try:
            stand.first_row(branch.connection_string)
            return True
        except Unavailable:
            return False

    wait_until(has_row, "a first row", pause=0.001)


ROWS = [proxy_select, proxy_wake]
