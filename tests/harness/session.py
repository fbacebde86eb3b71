"""A client that stays: told one line after the other, as a person would at a terminal."""

import subprocess

from .installation import postgres_programs


class Session:
    """A psql, at a URL or by libpq's parameters. To be closed."""

    def __init__(self, where: str) -> None:
        self.psql = subprocess.Popen([str(postgres_programs() / "psql"), "-XAtq", "-d", where], text=True, bufsize=1,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def say(self, line: str) -> str:
        """What it answers."""
        self.psql.stdin.write(line + "\n\\echo\n")
        answer = ""
        while (read := self.psql.stdout.readline()) not in ("\n", ""):
            answer += read
        return answer.strip()

    def close(self) -> None:
        self.psql.kill()
        self.psql.communicate()
