"""What the guest gets from the host, as one read-only file system: the sources, the programs built here with the libraries they
need, the ZFS modules, and the command to run."""

import pathlib
import re
import shlex
import shutil
import subprocess

import debian

SOURCE = pathlib.Path(__file__).resolve().parents[2]
# Of the sources: what tests run.
TREES = ("tests", "scripts", "docs")
PROGRAMS = ("pgtwig", "tests/contract_storage")


def write_image(image: pathlib.Path, staging: pathlib.Path, build: pathlib.Path, modules: pathlib.Path, command: list) -> None:
    """`command`, in the sources' folder of the guest; none: a shell."""
    for tree in TREES:
        shutil.copytree(SOURCE / tree, staging / "source" / tree, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    programs = [build / name for name in PROGRAMS if (build / name).exists()]
    if build / "pgtwig" not in programs:
        raise debian.Unavailable(f"{build}/pgtwig is not built")
    for program in programs:
        target = staging / "build" / program.relative_to(build)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, target)
    (staging / "libraries").mkdir()
    for library in libraries_of(programs):
        shutil.copy(library, staging / "libraries")
    shutil.copytree(modules, staging / "modules")
    if command:
        (staging / "command").write_text(shlex.join(command) + "\n")
    # Room for the file system's own tables too.
    size = sum(path.lstat().st_size for path in staging.rglob("*")) // (1 << 20) * 5 // 4 + 32
    debian.run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-m", "0", "-d", staging, image, f"{size}M")


def libraries_of(programs: list) -> list:
    """All that they are linked with, but the C library, which must be the guest's own."""
    found = set()
    for program in programs:
        listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
        found |= set(re.findall(r"=> (/\S+)", listed))
    own = re.compile(r"/(libc|libm|libdl|librt|libpthread|libresolv|ld-linux-x86-64)\.so")
    return sorted(path for path in found if not own.search(path))
