"""What the lab keeps between runs, below ~/.cache/pgtwig-lab (or $PGTWIG_LAB_CACHE): things made once, each in a folder named by what it is
and by the versions it was made from. A folder appears under its name only when it is complete."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
import time


def folder() -> pathlib.Path:
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "pgtwig-lab"
    cache = pathlib.Path(os.environ.get("PGTWIG_LAB_CACHE") or cache)
    cache.mkdir(parents=True, exist_ok=True)
    return cache.resolve()


@contextlib.contextmanager
def alone(name: str):
    """One lab at a time makes things; a second one waits, and then finds them made."""
    with open(folder() / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made(kind: str, key: str, make) -> pathlib.Path:
    """The folder <kind>-<key>, made by make(folder) when it isn't there. Older ones of its kind go."""
    target = folder() / f"{kind}-{key}"
    with alone(kind):
        if not target.exists():
            begun = time.monotonic()
            print(f"lab: making {target.name} ...", flush=True)
            staging = pathlib.Path(tempfile.mkdtemp(prefix=f"making-{kind}.", dir=folder()))
            try:
                staging.chmod(0o755)
                make(staging)
                staging.rename(target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            print(f"lab: made {target.name} in {time.monotonic() - begun:.0f} s", flush=True)
            for old in folder().glob(f"{kind}-*"):
                if old != target:
                    shutil.rmtree(old, ignore_errors=True)
    return target
