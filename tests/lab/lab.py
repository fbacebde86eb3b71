#!/usr/bin/env python3
"""A small Debian with a real ZFS in a virtual machine, for tests of this build: README.md beside it. Called by `make lab`.

    lab.py build                    make what is missing in the cache
    lab.py run [-- COMMAND...]      run a command in the guest (default: guest/suite.py) and exit with its status
    lab.py shell                    a shell in the guest; `exit` ends it

Exit 77: this machine can't have such a guest, and why is said. 124: out of time. 125: the guest ended without an exit status.
"""

import argparse
import os
import pathlib
import platform
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import debian
import emulator
import image
import machine

SKIPPED = 77
SUITE = ["tests/lab/guest/suite.py"]


def require_this_machine() -> None:
    if platform.machine() != "x86_64":
        raise debian.Unavailable(f"the guest is an x86_64, this machine is {platform.machine()}")
    if not pathlib.Path("/usr/bin/apt-get").exists():
        raise debian.Unavailable("the guest is made of Debian's packages, and this machine has no apt")
    if os.geteuid() != 0:
        clone = pathlib.Path("/proc/sys/kernel/unprivileged_userns_clone")
        if clone.exists() and clone.read_text().strip() == "0":
            raise debian.Unavailable("an ordinary user may not make user namespaces here, which making the guest needs; run it as root")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["build", "run", "shell"])
    parser.add_argument("command", nargs="*")
    parser.add_argument("--build-directory", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--seconds", type=int, default=10800, help="the guest is ended after this time (default: %(default)s)")
    options = parser.parse_args()
    begun = time.monotonic()
    try:
        require_this_machine()
        emulator.command()
        guest = image.guest()
        print(f"lab: the guest was ready to boot after {time.monotonic() - begun:.0f} s", flush=True)
        if options.action == "build":
            return 0
        command = [] if options.action == "shell" else options.command or SUITE
        status = machine.run(machine.Boot(guest, options.build_directory.resolve(), command, options.seconds))
    except debian.Unavailable as reason:
        print(f"lab: skipped: {reason}")
        return SKIPPED
    print(f"lab: exit status {status} after {time.monotonic() - begun:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
