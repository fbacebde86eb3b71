"""What libpq and the server of PostgreSQL 17 and 18 brought: TLS without a request for it, protocol 3.2, longer cancel keys."""

import ctypes
import os
import select
import signal
import subprocess

from harness.endpoint import EndpointTest
from harness.installation import eventually, postgres_programs

HERE = "SELECT current_setting('pgtwig.branch'), name, current_setting('server_version_num')::int / 10000 FROM here"


class Trace:
    """The messages of libpq's start-up by its own account, without values: "BackendKeyData"."""

    def __init__(self, library: str, conninfo: str, folder) -> None:
        pq, c = ctypes.CDLL(library), ctypes.CDLL(None)
        pq.PQconnectStart.restype = c.fopen.restype = ctypes.c_void_p
        pq.PQerrorMessage.restype = ctypes.c_char_p
        connection = ctypes.c_void_p(pq.PQconnectStart(conninfo.encode()))
        file = ctypes.c_void_p(c.fopen(str(folder / "trace").encode(), b"w"))
        pq.PQtrace(connection, file)
        status = 2  # what PQconnectPoll() asks for: 1 reading, 2 writing; or 0 failed, 3 done
        while status in (1, 2):
            socket = pq.PQsocket(connection)
            select.select([socket] if status == 1 else [], [socket] if status == 2 else [], [], 30)
            status = pq.PQconnectPoll(connection)
        self.error = pq.PQerrorMessage(connection).decode()
        self.version = pq.PQfullProtocolVersion(connection) if status == 3 else 0
        pq.PQfinish(connection)
        c.fclose(file)
        # "time<TAB>B<TAB>length<TAB>name..."
        lines = [line.split("\t") for line in (folder / "trace").read_text().splitlines()]
        self.lengths = {line[3]: int(line[2]) for line in lines if len(line) > 3}


class NewerLibpq(EndpointTest):
    """demo is of PostgreSQL 18, and the clients are the machine's own with the libpq of 18."""

    servers = (18,)

    @property
    def libraries(self):
        return self.pgtwig.base.path / "postgresql-18/lib"

    def psql18(self, statement: str, parameters: dict[str, str]) -> subprocess.Popen:
        return subprocess.Popen([str(postgres_programs() / "psql"), "-XAtq", "-d", self.conninfo(parameters), "-c", statement],
                                text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=os.environ | {"LD_LIBRARY_PATH": str(self.libraries)})

    def said(self, statement: str, parameters: dict[str, str]) -> str:
        out, err = self.psql18(statement, parameters).communicate(timeout=60)
        return (out + err).strip()

    def check_cancel(self, branch: str, parameters: dict[str, str]) -> None:
        sleeper = self.psql18("SELECT pg_sleep(100), 'slow'", parameters)
        try:
            eventually(lambda: self.backends(branch, "slow") == 1, "it runs")
            sleeper.send_signal(signal.SIGINT)
            self.assertIn("canceling statement due to user request", sleeper.communicate(timeout=30)[1])
        finally:
            sleeper.kill()
            sleeper.communicate()

    def test_protocol_3_2_has_longer_cancel_keys_and_they_cancel(self) -> None:
        for extra in ({}, self.tls()):
            target = self.parameters(dbname="postgres@demo/dev") | extra
            newest = target | {"min_protocol_version": "3.2", "max_protocol_version": "latest"}
            self.assertEqual(self.said(HERE, newest), "demo/dev|dev|18")
            self.check_cancel("demo/dev", newest)
            # 3.0 is what both still speak by default.
            self.check_cancel("demo/dev", target)

        keys = {}
        for version in ("3.0", "3.2"):
            parameters = self.parameters(dbname="postgres@demo/dev", min_protocol_version=version, max_protocol_version=version)
            trace = Trace(str(self.libraries / "libpq.so.5"), self.conninfo(parameters), self.pgtwig.base.path)
            self.assertEqual((trace.version, trace.error), (30000 if version == "3.0" else 30002, ""))
            keys[version] = trace.lengths["BackendKeyData"]
        # Length, process id, and a key of 4 and of 32 bytes.
        self.assertEqual(keys, {"3.0": 12, "3.2": 40})

    def test_an_older_server_brings_the_protocol_down(self) -> None:
        older = postgres_programs().parent.name
        self.run_pgtwig("project", "create", "old", "--pg-version", older)
        password = self.run_pgtwig("branch", "password", "old/main").out.strip()
        target = self.parameters(dbname="postgres@old/main", password=password)
        where = "SHOW pgtwig.branch"
        self.assertEqual(self.said(where, target | {"max_protocol_version": "latest"}), "old/main")
        self.check_cancel("old/main", target | {"max_protocol_version": "latest"})
        self.assertIn("protocol version", self.said(where, target | {"min_protocol_version": "3.2"}))
        # And the older client with the newer server.
        self.assertEqual(self.psql(HERE, self.parameters(dbname="postgres@demo/dev")), "demo/dev|dev|18")

    def test_tls_begins_without_a_request_for_it(self) -> None:
        for rule, parameters in self.routes().items():
            with self.subTest(rule):
                direct = self.parameters() | self.tls() | {"sslnegotiation": "direct"} | parameters
                self.assertEqual(self.said(HERE, direct), "demo/dev|dev|18")
        by_name = self.parameters() | self.tls("dev.demo.localhost") | {"sslnegotiation": "direct"}
        self.assertEqual(self.said(HERE, by_name), "demo/dev|dev|18")
        self.check_cancel("demo/dev", by_name | {"min_protocol_version": "3.2"})
