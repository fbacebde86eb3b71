"""QEMU for the guest. The machine's own when it is new enough, else Debian's unpacked into the cache: nothing is installed."""

import os
import pathlib
import re
import shutil
import subprocess

import cache
import debian

OLDEST = 10  # under 7.2, Debian 12's own, without KVM the guest's kernel soon oopses
# Where a release has that QEMU; None: in the release itself.
SUITES = {"bookworm": "bookworm-backports", "trixie": None}
FIRMWARE = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")


def command() -> list:
    """The first words of QEMU's command line."""
    own = shutil.which("qemu-system-x86_64")
    if own and (version([own]) or 0) >= OLDEST:
        return [own]
    return unpacked()


def version(program: list):
    shown = subprocess.run([*program, "--version"], capture_output=True, text=True)
    found = re.match(r"QEMU emulator version (\d+)", shown.stdout)
    return int(found[1]) if shown.returncode == 0 and found else None


def unpacked() -> list:
    suite = debian.host_suite()
    if suite not in SUITES:
        raise debian.Unavailable(f"no QEMU {OLDEST} or newer is installed, and where {suite or 'this system'} has one is not known")
    target = SUITES[suite] or suite
    with cache.alone("apt"):
        apt = debian.PrivateApt(cache.folder() / f"apt-{target}", {name: "main" for name in (suite, target)}, installed=True)

        def make(into: pathlib.Path) -> None:
            apt.update()
            apt.unpack(into, "qemu-system-x86", "seabios", target=target, with_dependencies=True)

        program = words(cache.made("qemu", target, make))
        if (version(program) or 0) < OLDEST:  # a library that was the machine's own is gone since it was unpacked
            shutil.rmtree(cache.folder() / f"qemu-{target}")
            program = words(cache.made("qemu", target, make))
    if (version(program) or 0) < OLDEST:
        raise debian.Unavailable(f"the QEMU of {target} does not run here")
    return program


def words(root: pathlib.Path) -> list:
    libraries = ":".join(str(root / folder) for folder in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    firmware = [part for base in (root, pathlib.Path("/")) for folder in FIRMWARE for part in ("-L", str(base / folder))]
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(root / "usr/bin/qemu-system-x86_64"), *firmware]


def acceleration(program: list, kernel: pathlib.Path) -> list:
    """KVM where a kernel really boots under it: /dev/kvm alone promises too much in a machine that is itself a guest."""
    # Without erms and fsrm: TCG moves a byte at a time where these promise that `rep movsb` is the fast way to copy.
    emulated = ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,-erms,-fsrm"]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or not re.search(r"\b(vmx|svm)\b", pathlib.Path("/proc/cpuinfo").read_text()):
        return emulated
    virtual = ["-accel", "kvm", "-cpu", "host"]
    try:
        trial = subprocess.run([*program, *virtual, "-m", "256", "-display", "none", "-nodefaults", "-no-reboot", "-serial", "stdio",
                                "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"],
                               stdin=subprocess.DEVNULL, capture_output=True, timeout=15)
    except subprocess.TimeoutExpired:
        return emulated
    return virtual if b"Unable to mount root" in trial.stdout else emulated
