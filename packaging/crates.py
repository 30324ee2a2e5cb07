"""The crates of the program: what is linked into it, and what only builds it. For licenses.py, sbom.py and unsafe.py.

Cargo itself says so, for the features and the target of the packages: `cargo tree` leaves out what only tests need, and features that only tests
turn on, which `cargo metadata` does not. Offline; the same Cargo.lock gives the same answer.
"""

import json
import pathlib
import re
import subprocess

PROGRAM = "ros-signal-agent"
TARGET = "x86_64-unknown-linux-gnu"
ROOT = pathlib.Path(__file__).resolve().parent.parent
# As packaging/build builds them: both at once, so that they share the features of their crates.
TOGETHER = ("--package", PROGRAM, "--package", "ros-sandbox")
LOCKED = re.compile(r'^name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "([0-9a-f]{64})"$', re.MULTILINE)
LINE = re.compile(r"^(\d+) (\S+) v(\S+)(.*)$")


class Crate:
    """A package, with what is known of it, the packages it is built on, and whether it is linked into the program or only builds it."""

    def __init__(self, package, checksum):
        self.name, self.version = package["name"], package["version"]
        self.package, self.checksum = package, checksum
        self.folder = pathlib.Path(package["manifest_path"]).parent
        # A procedural macro runs in the compiler; nothing of it is linked.
        self.is_macro = any("proc-macro" in target["kind"] for target in package["targets"])
        # Of this workspace, not from a registry.
        self.is_own = package["source"] is None
        self.needs = set()
        self.linked = False

    @property
    def key(self):
        return self.name, self.version


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked", "--offline"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def all_crates():
    """Every crate that takes part, sorted by name and version; the program is among them."""
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", TARGET))
    # tomllib came with Python 3.11 only.
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    checksums = {(name, version): checksum for name, version, checksum in LOCKED.findall(lock)}
    known = {}
    for package in metadata["packages"]:
        crate = Crate(package, checksums.get((package["name"], package["version"])))
        if crate.key in known:
            raise SystemExit(f"crates: error: two sources have a {crate.name} {crate.version}: tell them apart here")
        known[crate.key] = crate
    found = {}
    for edges, links in (("normal,build", False), ("normal", True)):
        walk(edges, links, known, found)
    return sorted(found.values(), key=lambda crate: crate.key)


def walk(edges, links, known, found):
    """Follows the lines of `cargo tree`: each has its depth before it, and comes after the one that needs it."""
    path = []
    for line in cargo("tree", *TOGETHER, "--edges", edges, "--target", TARGET, "--prefix", "depth", "--no-dedupe", "--format", " {p}").splitlines():
        if not line:
            continue
        depth, name, version, _ = LINE.match(line).groups()
        del path[int(depth) :]
        crate = known[name, version]
        path.append(crate)
        if path[0].name != PROGRAM:
            continue
        found[crate.key] = crate
        if len(path) > 1:
            path[-2].needs.add(crate.key)
        if links and not any(above.is_macro for above in path):
            crate.linked = True


def linked():
    """Those whose code is in the program."""
    return [crate for crate in all_crates() if crate.linked]
