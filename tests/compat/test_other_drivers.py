"""JDBC, and node's pg and postgres, through the endpoint. Each is a program in clients/ that gets its cases as JSON."""

import fcntl
import json
import os
import pathlib
import shutil
import subprocess

from harness.endpoint import EndpointTest

CLIENTS = pathlib.Path(__file__).resolve().parent / "clients"
CACHE = pathlib.Path(__file__).resolve().parents[2] / "build/test-node"
NODE_PACKAGES = {"pg": "8.16.3", "postgres": "3.4.7"}
JDBC = pathlib.Path("/usr/share/java/postgresql.jar")


class Drivers(EndpointTest):
    def cases(self) -> list[dict]:
        """What leads to demo/dev, without TLS and with it."""
        cases = []
        for rule, parameters in self.routes().items():
            for tls in (False, True):
                cases.append({"rule": rule, "tls": tls, "name": "localhost", "user": parameters.get("user", "postgres"),
                              "database": parameters.get("dbname", "postgres"), "options": parameters.get("options", "")})
        cases.append({"rule": "server name", "tls": True, "name": "dev.demo.localhost", "user": "postgres",
                      "database": "postgres", "options": ""})
        return cases

    def run_client(self, *command: str, environment: dict[str, str] | None = None) -> None:
        given = {"port": self.port, "password": self.password, "authority": str(self.certificate), "cases": self.cases()}
        done = subprocess.run(list(command), input=json.dumps(given), text=True, capture_output=True, timeout=200,
                              env=os.environ | (environment or {}))
        self.assertEqual(done.returncode, 0, f"{done.stdout}{done.stderr}")
        self.assertEqual(done.stdout.splitlines()[-1], f"{len(given['cases'])} cases and 2 cancels")

    def node_modules(self) -> pathlib.Path:
        """Where the pinned packages are; none of their scripts is run."""
        if not shutil.which("npm") or not shutil.which("node"):
            self.skipTest("node or npm is missing; scripts/install-packages compat installs them")
        CACHE.mkdir(parents=True, exist_ok=True)
        complete = CACHE / f"complete-{'-'.join(NODE_PACKAGES.values())}"
        with open(CACHE / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                wanted = [f"{name}@{version}" for name, version in NODE_PACKAGES.items()]
                done = subprocess.run(["npm", "install", "--prefix", str(CACHE), "--no-save", "--ignore-scripts", "--no-audit",
                                       "--no-fund", *wanted], capture_output=True, text=True, timeout=200,
                                      stdin=subprocess.DEVNULL)
                if done.returncode != 0:
                    self.skipTest(f"npm can't fetch {wanted}: {done.stderr.strip()[-300:]}")
                complete.touch()
        return CACHE / "node_modules"

    def test_node_postgres_finds_the_branch_by_every_rule_and_cancels(self) -> None:
        modules = self.node_modules()
        self.run_client("node", str(CLIENTS / "node_postgres.cjs"), environment={"NODE_PATH": str(modules)})

    def test_postgres_js_finds_the_branch_by_every_rule_and_cancels(self) -> None:
        modules = self.node_modules()
        self.run_client("node", str(CLIENTS / "postgres_js.cjs"), environment={"NODE_PATH": str(modules)})

    def test_jdbc_finds_the_branch_by_every_rule_and_cancels(self) -> None:
        if not JDBC.exists() or not shutil.which("javac"):
            self.skipTest("JDBC's driver or javac is missing; scripts/install-packages compat installs them")
        # The JVM has no other way to say what a name means than a file of hosts.
        hosts = self.pgtwig.base.path / "hosts"
        hosts.write_text("127.0.0.1 localhost dev.demo.localhost\n")
        # Its cases come as lines, as the JDK can't read JSON.
        lines = self.pgtwig.base.path / "cases"
        fields = ("rule", "tls", "name", "user", "database", "options")
        lines.write_text("".join("\t".join(str(case[field]) for field in fields) + "\n" for case in self.cases()))
        self.run_client("java", f"-Djdk.net.hosts.file={hosts}", "-cp", str(JDBC), str(CLIENTS / "Jdbc.java"),
                        str(self.port), str(self.certificate), str(lines), environment={"PGPASSWORD": self.password})
