"""An installation whose daemon serves all branches at one endpoint, and the ways to name a branch there."""

import pathlib
import subprocess
from urllib.parse import urlsplit

from .case import SystemTest
from .installation import Installation, postgres_programs
from .session import Session


class EndpointTest(SystemTest):
    """demo/main and demo/dev, each with a table `here` that says its name; nothing is selected."""

    file_system = "btrfs"
    proxy_config = ""
    has_branches = True

    def setUp(self) -> None:
        super().setUp()
        if not self.has_branches:
            return
        self.run_pgtwig("project", "create", "demo")
        self.sql("demo/main", "CREATE TABLE here AS SELECT 'main' AS name")
        self.run_pgtwig("branch", "create", "demo/dev")
        self.sql("demo/dev", "UPDATE here SET name = 'dev'")
        self.password = urlsplit(self.pgtwig.url("demo/dev")).password

    def install(self) -> Installation:
        installation = super().install()
        self.port = installation.ports.last
        installation.write_config(f"[proxy]\nenabled = true\nport = {self.port}\n{self.proxy_config}")
        return installation

    @property
    def certificate(self) -> pathlib.Path:
        """Of the authority that the endpoint made."""
        return self.pgtwig.root / "endpoint/ca.crt"

    def parameters(self, **more: str) -> dict[str, str]:
        """libpq's, for a connection without TLS that names no branch."""
        return {"host": "127.0.0.1", "port": str(self.port), "user": "postgres", "dbname": "postgres",
                "password": self.password, "sslmode": "disable", "connect_timeout": "60"} | more

    def tls(self, host: str = "localhost") -> dict[str, str]:
        return {"host": host, "hostaddr": "127.0.0.1", "sslmode": "verify-full", "sslrootcert": str(self.certificate)}

    def routes(self) -> dict[str, dict[str, str]]:
        """libpq's parameters by the rule that leads to demo/dev."""
        return {
            "database": {"dbname": "postgres@demo/dev"},
            "database without the project": {"dbname": "postgres@dev"},
            "user": {"user": "postgres@demo/dev"},
            "options": {"options": "-c pgtwig.branch=demo/dev"},
        }

    @staticmethod
    def conninfo(parameters: dict[str, str]) -> str:
        def quoted(value: str) -> str:
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

        return " ".join(f"{name}={quoted(value)}" for name, value in parameters.items())

    def psql(self, statement: str, parameters: dict[str, str], expect_failure: bool = False) -> str:
        return self.pgtwig.sql_at(self.conninfo(parameters), statement, expect_failure)

    def session(self, parameters: dict[str, str]) -> Session:
        session = Session(self.conninfo(parameters))
        self.addCleanup(session.close)
        return session

    def program(self, name: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess:
        """One of PostgreSQL's programs to its good end."""
        done = subprocess.run([str(postgres_programs() / name), *arguments], text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=timeout)
        self.assertEqual(done.returncode, 0, f"{name}: {done.stderr}")
        return done

    def backends(self, branch: str, of: str) -> int:
        """Backends of the branch whose query has `of` in it, by the branch's own port."""
        return int(self.sql(branch, f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%{of}%' AND "
                                    "state = 'active' AND pid <> pg_backend_pid()"))
