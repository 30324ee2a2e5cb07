#!/usr/bin/env python3
"""Collects the licences of all that is linked into the program.

  packaging/licenses.py RUSTC_VERSION RUST_SYSROOT ZIG_FOLDER >licenses.txt

What counts is what is linked (crates.py), not what builds or tests it. A text that several packages have alike is there once. Offline; the same
Cargo.lock gives the same bytes.
"""

import html.parser
import pathlib
import sys

import crates

NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")
LINE = "-" * 80


def texts(folder):
    """The licence files of a folder: names and contents."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name.upper().startswith(NAMES):
            yield path.name, path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip("\n")


class Page(html.parser.HTMLParser):
    """The text of a page, without the blank lines of its markup."""

    def __init__(self, page):
        super().__init__()
        self.lines = []
        self.in_body = self.as_it_is = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, _attributes):
        self.in_body |= tag == "body"
        self.as_it_is |= tag == "pre"
        if tag == "h3":
            self.lines.append("\n")

    def handle_endtag(self, tag):
        self.as_it_is &= tag != "pre"
        if tag in ("h1", "h2", "h3", "li", "p"):
            self.lines.append("\n")

    def handle_data(self, data):
        if self.in_body and (self.as_it_is or data.strip()):
            self.lines.append(data if self.as_it_is else " ".join(data.split()) + " ")

    def text(self):
        lines = [line.rstrip() for line in "".join(self.lines).split("\n")]
        return "\n".join(lines).strip("\n")


def standard_library(sysroot):
    """The notices of Rust's standard library and what it is made of, as its toolchain has them."""
    path = pathlib.Path(sysroot, "share/doc/rust/COPYRIGHT-library.html")
    if not path.is_file():
        print(f"licenses: warning: there is no {path}, which toolchains of rustup have: its notices will be missing", file=sys.stderr)
        return "Not with the toolchain that built this: https://www.rust-lang.org/policies/licenses"
    return Page(path.read_text(encoding="utf-8")).text()


def add(found, text, whose):
    """Notes whose text it is. Texts that differ in blanks and line ends only are one."""
    found.setdefault(" ".join(text.split()), (text, []))[1].append(whose)


def main():
    rustc, sysroot, zig = sys.argv[1:4]
    found = {}
    without = []
    rows = []
    for crate in crates.linked():
        package = crate.package
        label = f"{crate.name} {crate.version}"
        if not package["license"] and not package["license_file"]:
            sys.exit(f"licenses: error: {label} names no licence in its Cargo.toml")
        rows.append(f"{label:<40} {package['license'] or package['license_file']}")
        # Of this workspace: the licence files of its root.
        folder = crates.ROOT if crate.is_own else crate.folder
        some = False
        for name, text in texts(folder):
            add(found, text, f"{label} ({name})")
            some = True
        if not some:
            without.append(f"{label:<40} {package['license']}, {package['repository'] or 'no repository named'}")
    for whose, path in (("zig, start-up code and compiler_rt", "LICENSE"), ("zig, libunwind", "lib/libunwind/LICENSE.TXT")):
        add(found, pathlib.Path(zig, path).read_text(encoding="utf-8").strip("\n"), whose)

    print(f"What is linked into {crates.PROGRAM}, and under which licences\n")
    print("\n".join(rows))
    print(f"\nThe standard library of Rust ({rustc}): MIT OR Apache-2.0; its notices are at the end")
    print("Start-up code, compiler_rt and libunwind, as the linker zig brings them: MIT, and Apache-2.0 WITH LLVM-exception")
    if without:
        print("\nThese ship no licence file of their own; the texts of their licences are below, in the files of others:\n")
        print("\n".join(without))
    for text, whose in sorted(found.values(), key=lambda item: item[1]):
        print(f"\n{LINE}\n" + "\n".join(whose) + f"\n{LINE}\n\n{text}")
    print(f"\n{LINE}\nThe standard library of Rust, {rustc}\n{LINE}\n\n{standard_library(sysroot)}")


main()
