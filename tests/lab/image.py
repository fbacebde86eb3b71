"""The guest: a kernel, the ZFS modules for it, and the image of a small Debian that is its root. All from Debian's own packages, as root or,
where user namespaces are allowed, as an ordinary user."""

import concurrent.futures
import dataclasses
import hashlib
import inspect
import json
import os
import pathlib
import shutil
import struct
import subprocess

import cache
import debian

SUITE = "trixie"
KERNEL = "cloud-amd64"
HERE = pathlib.Path(__file__).resolve().parent
# Libraries that the host's build links against and this release has under another name only travel with the build.
PACKAGES = """zfsutils-linux btrfs-progs xfsprogs e2fsprogs lvm2 thin-provisioning-tools docker.io docker-cli iptables
              postgresql-17 python3 iproute2 procps psmisc udev kmod busybox-static ca-certificates""".split()
IMAGE_SIZE = "3G"


@dataclasses.dataclass
class Guest:
    kernel: pathlib.Path  # vmlinux
    modules: pathlib.Path  # the folder of spl.ko and zfs.ko
    root: pathlib.Path  # a raw ext4 image


def bootstrap(*options: str) -> None:
    """mmdebstrap of the guest's release; what is to be kept, hooks take out."""
    if not shutil.which("mmdebstrap"):
        raise debian.Unavailable("mmdebstrap is missing; run `scripts/install-packages lab`")
    mode = "root" if os.geteuid() == 0 else "unshare"
    debian.run("mmdebstrap", "--quiet", "--variant=apt", f"--mode={mode}", "--format=null", "--components=main,contrib",
               '--aptopt=APT::Install-Recommends "0"', *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in
                                                         ("man", "locale", "doc", "info", "help")),
               # It makes a cluster of its own otherwise, which nobody needs.
               '--essential-hook=mkdir -p "$1"/etc/postgresql-common/createcluster.d',
               '--essential-hook=echo "create_main_cluster = false" >"$1"/etc/postgresql-common/createcluster.d/lab.conf',
               *options, SUITE, "/dev/null", debian.mirror(), env=debian.environment_without_prompts())


def make_kernel(into: pathlib.Path, apt: debian.PrivateApt, package: str) -> None:
    """vmlinuz, and tree/usr/lib/modules with its modules uncompressed, as the guest is slow at that."""
    apt.unpack(into / "tree", package)
    shutil.move(next((into / "tree" / "boot").glob("vmlinuz-*")), into / "vmlinuz")
    if not (into / "tree/usr/lib/modules").exists():  # where the package has them depends on the release
        (into / "tree/usr/lib").mkdir(parents=True, exist_ok=True)
        shutil.move(into / "tree/lib/modules", into / "tree/usr/lib/modules")
    for folder in ("boot", "lib", "usr/share"):
        shutil.rmtree(into / "tree" / folder, ignore_errors=True)
    compressed = [str(path) for path in (into / "tree").rglob("*.ko.xz")]
    for begin in range(0, len(compressed), 500):
        debian.run("xz", "-d", *compressed[begin:begin + 500])


def make_uncompressed(into: pathlib.Path, compressed: pathlib.Path) -> None:
    """vmlinux, which QEMU starts directly (PVH): the guest would take seconds to decompress it."""
    image = compressed.read_bytes()
    # The kernel's Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length; the last four bytes are the size.
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (image[0x1f1] + 1) * 512 + offset
    try:
        unpacked = subprocess.run(["zstd", "-dc"], input=image[begin:begin + length - 4], capture_output=True, check=True)
    except FileNotFoundError:
        raise debian.Unavailable("zstd is missing; run `scripts/install-packages lab`") from None
    (into / "vmlinux").write_bytes(unpacked.stdout)


def make_modules(into: pathlib.Path, kernel_package: str) -> None:
    """dkms in a chroot that is thrown away; only the two modules stay."""
    headers = kernel_package.replace("linux-image-", "linux-headers-")
    bootstrap(f"--include={headers},zfs-dkms",
              '--customize-hook=test -n "$(find "$1"/usr/lib/modules/ -path "*updates/dkms*" -name "zfs.ko*")" '
              '|| { tail -n 60 "$1"/var/lib/dkms/zfs/*/build/make.log; exit 1; }',
              '--customize-hook=cp "$1"/usr/lib/modules/*/updates/dkms/*.ko* "$1"/tmp && '
              '{ test -z "$(ls "$1"/tmp/*.ko.xz 2>/dev/null)" || xz -d "$1"/tmp/*.ko.xz; }',
              f"--customize-hook=copy-out /tmp/spl.ko /tmp/zfs.ko {into}")


def make_root(into: pathlib.Path, kernel: pathlib.Path) -> None:
    image = into / "root.img"
    with open(image, "wb") as file:
        file.truncate(0)
    bootstrap("--include=" + ",".join(PACKAGES),
              f"--customize-hook=copy-in {HERE / 'guest' / 'init'} /usr/sbin", '--customize-hook=chmod 755 "$1"/usr/sbin/init',
              '--customize-hook=mkdir -p "$1"/usr/lib/modules',
              f"--customize-hook=sync-in {kernel / 'tree/usr/lib/modules'} /usr/lib/modules",
              '--customize-hook=chroot "$1" depmod "$(ls "$1"/usr/lib/modules)"',
              '--customize-hook=rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/* "$1"/boot/*',
              # A mount of its own shows the tree without what mmdebstrap mounted into it.
              '--customize-hook=mkdir -p "$1".view && mount --bind "$1" "$1".view && '
              f'mkfs.ext4 -q -F -L lab -O ^has_journal -E lazy_itable_init=0 -d "$1".view {image} {IMAGE_SIZE}; made=$?; '
              'umount "$1".view; rmdir "$1".view; exit $made')


def versions(apt: debian.PrivateApt) -> dict:
    """What the guest would be made of by the package lists, which are slow to ask."""
    remembered = apt.home / "versions.json"
    if remembered.exists() and remembered.stat().st_mtime > (apt.home / "updated").stat().st_mtime:
        return json.loads(remembered.read_text())
    kernel = apt.dependency(f"linux-image-{KERNEL}", "linux-image-")
    found = {"suite": apt.suite_version(SUITE), "kernel_package": kernel, "kernel": apt.version(kernel), "zfs": apt.version("zfs-dkms")}
    remembered.write_text(json.dumps(found))
    return found


def guest() -> Guest:
    """All that it takes to boot, from the cache where it is there."""
    with cache.alone("apt"):
        apt = debian.PrivateApt(cache.folder() / f"apt-{SUITE}", {SUITE: "main contrib"}, installed=False)
        apt.update()
        version = versions(apt)
        package = version["kernel_package"]
        kernel_key = f"{package.removeprefix('linux-image-')}-{version['kernel']}"
        recipe = [version["suite"], kernel_key, *PACKAGES, IMAGE_SIZE, inspect.getsource(bootstrap), inspect.getsource(make_root),
                  (HERE / "guest" / "init").read_text()]
        kernel = cache.made("kernel", kernel_key, lambda into: make_kernel(into, apt, package))
        uncompressed = cache.made("vmlinux", kernel_key, lambda into: make_uncompressed(into, kernel / "vmlinuz"))
    root_key = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:16]
    # Compiling is one core's work for half of the time, and unpacking is the disk's.
    with concurrent.futures.ThreadPoolExecutor() as both:
        modules = both.submit(cache.made, "zfs", f"{version['zfs']}-{kernel_key}", lambda into: make_modules(into, package))
        root = both.submit(cache.made, "root", root_key, lambda into: make_root(into, kernel))
        return Guest(uncompressed / "vmlinux", modules.result(), root.result() / "root.img")
