"""psycopg 2 and 3 through the endpoint: every rule, TLS and not, large rows, COPY both ways, notifications, cancels."""

import importlib
import io
import threading

from harness.endpoint import EndpointTest
from harness.installation import eventually

LARGE = 10 << 20


class Drivers(EndpointTest):
    def driver(self, name: str):
        try:
            return importlib.import_module(name)
        except ImportError:
            self.skipTest(f"the Python module {name} is missing; scripts/install-packages compat installs it")

    def cases(self):
        """What leads to demo/dev, without TLS and with it."""
        for rule, parameters in self.routes().items():
            yield rule, self.parameters(**parameters)
            yield f"{rule}, TLS", self.parameters() | self.tls() | parameters
        yield "server name", self.parameters(**self.tls("dev.demo.localhost"))

    def check_session(self, connection) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT current_setting('pgtwig.branch'), name, pg_backend_pid() FROM here")
        branch, name, pid = cursor.fetchone()
        self.assertEqual((branch, name), ("demo/dev", "dev"))
        # So that who notifies can tell its own notifications.
        self.assertEqual(connection.info.backend_pid, pid)
        cursor.execute("SELECT repeat('x', %s), length(%s)", (LARGE, "y" * LARGE))
        text, length = cursor.fetchone()
        self.assertEqual((len(text), length), (LARGE, LARGE))
        connection.rollback()

    def check_cancel(self, connection, is_cancelled) -> None:
        caught = []

        def wait() -> None:
            try:
                connection.cursor().execute("SELECT pg_sleep(100), 'slow'")
            except Exception as error:  # whatever the driver's own is
                caught.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        eventually(lambda: self.backends("demo/dev", "slow") == 1, "the statement runs")
        connection.cancel()
        waiter.join(30)
        self.assertEqual(len(caught), 1)
        self.assertTrue(is_cancelled(caught[0]), caught)
        connection.rollback()

    def test_psycopg2_finds_the_branch_by_every_rule_and_cancels(self) -> None:
        psycopg2 = self.driver("psycopg2")
        for case, parameters in self.cases():
            with self.subTest(case):
                connection = psycopg2.connect(**parameters)
                self.check_session(connection)
                connection.close()
        for parameters in (self.parameters(dbname="postgres@demo/dev"), self.parameters(dbname="postgres@demo/dev") | self.tls()):
            connection = psycopg2.connect(**parameters)
            cursor = connection.cursor()
            cursor.execute("CREATE TEMP TABLE copied (n int, text text)")
            rows = "".join(f"{n}\t{'z' * 100}\n" for n in range(100_000))
            cursor.copy_expert("COPY copied FROM STDIN", io.StringIO(rows))
            out = io.StringIO()
            cursor.copy_expert("COPY copied TO STDOUT", out)
            self.assertEqual(out.getvalue(), rows)
            connection.commit()
            self.check_cancel(connection, lambda error: isinstance(error, psycopg2.errors.QueryCanceled))
            connection.close()

    def test_psycopg3_finds_the_branch_by_every_rule_and_cancels(self) -> None:
        psycopg = self.driver("psycopg")
        for case, parameters in self.cases():
            with self.subTest(case):
                with psycopg.connect(**parameters) as connection:
                    self.check_session(connection)
        for parameters in (self.parameters(dbname="postgres@demo/dev"), self.parameters(dbname="postgres@demo/dev") | self.tls()):
            with psycopg.connect(**parameters) as connection:
                self.check_cancel(connection, lambda error: isinstance(error, psycopg.errors.QueryCanceled))
            with psycopg.connect(**parameters, autocommit=True) as listener, psycopg.connect(**parameters, autocommit=True) as other:
                heard = []
                listener.add_notify_handler(lambda one: heard.append((one.payload, one.pid == listener.info.backend_pid)))
                listener.execute("LISTEN news")
                other.execute("NOTIFY news, 'from afar'")
                listener.execute("NOTIFY news, 'own'")

                def has_heard_both() -> bool:
                    listener.execute("SELECT 1")
                    return len(heard) == 2

                eventually(has_heard_both, "both notifications")
                self.assertEqual(heard, [("from afar", False), ("own", True)])
