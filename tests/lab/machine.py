"""One boot of the guest: its disks, its console, its end."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import emulator
import handover
import image

MEMORY = "3072"  # MiB
CPUS = "2"
SCRATCH_SIZE = 24 << 30  # sparse
KERNEL_LINE = ("console=ttyS0 quiet root=/dev/nvme0n1 rootfstype=ext4 rootwait ro init=/usr/sbin/init mitigations=off panic=-1 oops=panic "
               "random.trust_cpu=on nokaslr lsm=capability cryptomgr.notests tsc=reliable no_timer_check")
NO_STATUS = 125  # of a guest that ended without telling
OUT_OF_TIME = 124


@dataclasses.dataclass
class Boot:
    guest: image.Guest
    build: pathlib.Path
    command: list  # empty: an interactive shell
    seconds: int


def run(boot: Boot) -> int:
    """The exit status of the command in the guest. Nothing of the boot stays."""
    program = emulator.command()
    with tempfile.TemporaryDirectory(prefix="pgtwig-lab.", dir=os.environ.get("TMPDIR", "/tmp")) as name:
        folder = pathlib.Path(name)
        (folder / "staging").mkdir()
        handover.write_image(folder / "handover", folder / "staging", boot.build, boot.guest.modules, boot.command)
        with open(folder / "scratch", "wb") as file:
            file.truncate(SCRATCH_SIZE)
        # The guest's root is written to a file of this boot's own (snapshot=on).
        arguments = [*program, *emulator.acceleration(program, boot.guest.kernel), "-M", "q35,sata=off,smbus=off",
                     "-smp", CPUS, "-m", MEMORY, "-display", "none", "-nodefaults", "-no-reboot", "-monitor", "none",
                     "-kernel", str(boot.guest.kernel), "-append", KERNEL_LINE,
                     *disk(boot.guest.root, "root", "nvme", "snapshot=on,cache=unsafe"),
                     *disk(folder / "handover", "handover", "virtio-blk-pci", "readonly=on"),
                     *disk(folder / "scratch", "scratch", "virtio-blk-pci", "cache=unsafe,discard=unmap"),
                     *console(bool(boot.command)), "-serial", f"file:{folder / 'status'}"]
        print(f"lab: booting Linux and ZFS of {boot.guest.kernel.parent.name.removeprefix('vmlinux-')} by "
              f"{'KVM' if 'kvm' in arguments else 'emulation'}", flush=True)
        ended = wait_for(arguments, boot.seconds, {**os.environ, "TMPDIR": name}, interactive=not boot.command)
        if ended == OUT_OF_TIME:
            print(f"lab: not finished within {boot.seconds} s", flush=True)
            return OUT_OF_TIME
        told = (folder / "status").read_text().strip() if (folder / "status").exists() else ""
        if not told.isdigit():
            print(f"lab: the guest ended without an exit status (QEMU's was {ended})", flush=True)
            return NO_STATUS
        return int(told)


def disk(file: pathlib.Path, serial: str, device: str, options: str) -> list:
    return ["-drive", f"file={file},format=raw,if=none,id={serial},{options}", "-device", f"{device},drive={serial},serial={serial}"]


def console(has_command: bool) -> list:
    """Output only; for a shell the keyboard too, Ctrl-C included (Ctrl-A x ends the guest)."""
    if has_command:
        return ["-serial", "stdio"]
    return ["-chardev", "stdio,id=console,mux=on,signal=off", "-serial", "chardev:console"]


def wait_for(arguments: list, seconds: int, environment: dict, interactive: bool) -> int:
    guest = subprocess.Popen(arguments, stdin=None if interactive else subprocess.DEVNULL, env=environment)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return guest.wait(None if interactive else seconds)
    except subprocess.TimeoutExpired:
        return OUT_OF_TIME
    finally:
        guest.kill()
        guest.wait()
