"""Debian packages without the host's apt: a source list, package lists and archives of the lab's own. The host's configuration and state
are read (its mirror, its proxies, what is installed) and never written."""

import os
import pathlib
import re
import subprocess
import time

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LISTS_LIVE_FOR = 7 * 24 * 3600  # seconds; a released suite changes every two months


class Unavailable(Exception):
    """This machine can't give what the lab needs; the text says what."""


def run(*command, **options):
    """A command whose output is shown only when it fails."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-8000:]}")
    return done.stdout


def mirror() -> str:
    """The Debian mirror that this machine uses already."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian"], capture_output=True, text=True)
    for uri in listed.stdout.split():
        if not uri.rstrip("/").endswith("-security"):
            return uri
    raise Unavailable("apt on this machine knows no Debian mirror; run `apt-get update` once")


def host_suite() -> str:
    release = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return release.get("VERSION_CODENAME", "").strip('"')


class PrivateApt:
    """apt for some suites, in a folder of its own. With `installed`, what the host has installed counts as there."""

    def __init__(self, home: pathlib.Path, suites: dict, installed: bool):
        self.home = home
        for folder in ("lists/partial", "cache/archives/partial"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        uri = mirror()
        (home / "sources.list").write_text("".join(
            f"deb [signed-by={KEYRING}] {uri} {suite} {components}\n" for suite, components in suites.items()))
        status = home / "status"
        status.touch()
        settings = {
            "Dir::Etc::SourceList": home / "sources.list", "Dir::Etc::SourceParts": "-",
            "Dir::Etc::Preferences": "-", "Dir::Etc::PreferencesParts": "-",
            "Dir::State::Lists": home / "lists", "Dir::Cache": home / "cache",
            "Dir::State::Status": "/var/lib/dpkg/status" if installed else status,
            "APT::Install-Recommends": "0", "APT::Get::List-Cleanup": "0",
            # An ordinary user may not take the locks, and root's downloads go where the user _apt may not write.
            "Debug::NoLocking": "1", "APT::Sandbox::User": "root"}
        self.options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]

    def update(self) -> None:
        """Fetches the package lists, unless they are young enough."""
        stamp = self.home / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_LIVE_FOR:
            return
        try:
            run("apt-get", *self.options, "-q", "update")
        except RuntimeError as error:
            if not stamp.exists():
                raise
            print(f"lab: the package lists stay as they were: {error}", flush=True)
        stamp.touch()

    def version(self, package: str) -> str:
        shown = run("apt-cache", *self.options, "show", "--no-all-versions", package)
        return re.search(r"^Version: (.*)$", shown, re.M).group(1)

    def suite_version(self, suite: str) -> str:
        """The point release: what stands for the versions of all of a released suite's packages."""
        release = next((self.home / "lists").glob(f"*_dists_{suite}_InRelease")).read_text()
        return re.search(r"^(?:Version|Date): (.*)$", release, re.M).group(1)

    def dependency(self, package: str, prefix: str) -> str:
        """The package that a metapackage stands for."""
        shown = run("apt-cache", *self.options, "depends", package)
        return re.search(rf"Depends: ({re.escape(prefix)}\S*)", shown).group(1)

    def unpack(self, into: pathlib.Path, *packages: str, target: str = "", with_dependencies: bool = False) -> None:
        """Unpacks packages, and on request all of their dependencies that count as not installed, without installing them."""
        release = ["-t", target] if target else []
        archives = self.home / "cache" / "archives"
        for old in archives.glob("*.deb"):
            old.unlink()
        if with_dependencies:
            run("apt-get", *self.options, "-q", "-y", *release, "--download-only", "install", *packages)
        else:
            run("apt-get", *self.options, "-q", *release, "download", *packages, cwd=archives)
        into.mkdir(parents=True, exist_ok=True)
        for archive in sorted(archives.glob("*.deb")):
            run("dpkg", "-x", archive, into)
            archive.unlink()


def environment_without_prompts() -> dict:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
