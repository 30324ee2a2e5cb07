#!/usr/bin/env python3
"""Counts `unsafe` in the crates that are linked into the program.

  packaging/unsafe.py            prints the table
  packaging/unsafe.py --write    and puts it into docs/security.md
  packaging/unsafe.py --check    fails where a crate holds unsafe that is not in the table there, or one of the table holds none any more

It looks at the files that the compiler has read for the packages, as its notes beside them say (*.d): run packaging/build before. Text of comments and
strings does not count; what a condition (`cfg`) leaves out within a file does, and so do macros. The standard library is not looked at.
"""

import collections
import datetime
import os
import pathlib
import re
import sys

import crates

DOCUMENT = crates.ROOT / "docs/security.md"
BEGIN, END = "<!-- counted: unsafe -->\n", "<!-- end: unsafe -->"
# Crates with fewer stand in a line below the table.
IN_TABLE = 100

TOKEN = re.compile(
    r"""
    (?P<nothing> \s+ | //[^\n]* )
  | (?P<comment> /\* )
  | (?P<text> (?:b|c)?r(?P<fence>\#*)".*?"(?P=fence) | [bc]?"(?:\\.|[^"\\])*" | b?'(?:\\.[^']*|[^'\\])' )
  | (?P<lifetime> '\w+ )
  | (?P<word> (?:r\#)?\w+ )
  | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
BRACKET = re.compile(r"/\*|\*/")


def words(text):
    """The words and signs of a Rust source."""
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        at = found.end()
        if found.lastgroup == "comment":
            at = after_comment(text, at)
        elif found.lastgroup in ("word", "sign"):
            yield found.group()


def after_comment(text, at):
    """The end of a comment, which may hold comments."""
    depth = 1
    while depth:
        found = BRACKET.search(text, at)
        if not found:
            return len(text)
        at = found.end()
        depth += 1 if found.group() == "/*" else -1
    return at


def count(text):
    """Blocks, functions (and blocks that declare foreign ones), and implementations (and traits)."""
    counted = collections.Counter()
    if "unsafe" not in text:
        return counted
    listed = list(words(text)) + [""] * 3
    for index, word in enumerate(listed):
        if word != "unsafe":
            continue
        # The ABI of a foreign function is a text, and so is left out already.
        after = [other for other in listed[index + 1 : index + 4] if other != "extern"]
        if listed[index + 1] == "extern" and after[0] == "{":
            counted["functions"] += 1
        elif after[0] == "{":
            counted["blocks"] += 1
        elif after[0] in ("impl", "trait"):
            counted["impls"] += 1
        # The type of a pointer to a function has no name.
        elif after[0] == "fn" and after[1] != "(":
            counted["functions"] += 1
    return counted


def sources(folder):
    """The files that the compiler has read, by the note it has left of each crate."""
    read = set()
    for note in folder.glob("*.d"):
        # A line for each file that was read: its path, and a colon. Blanks in paths have a backslash before them.
        for line in note.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.endswith(".rs:"):
                read.add(pathlib.Path(os.path.join(crates.ROOT, line[:-1].replace("\\ ", " "))))
    if not read:
        sys.exit(f"unsafe: error: there are no notes of the compiler in {folder}; run packaging/build before")
    return read


def all_counted(folder):
    read = sources(folder)
    counted = {}
    for crate in crates.linked():
        own = [path for path in read if crate.folder in path.parents]
        # What is of the workspace's root only, not of its members.
        if crate.is_own:
            own = [path for path in own if path.is_relative_to(crate.folder / "src")]
        if not own:
            sys.exit(f"unsafe: error: the compiler has left no note of {crate.name} {crate.version} in {folder}; run packaging/build before")
        texts = (path.read_text(encoding="utf-8", errors="replace") for path in own)
        counted[crate] = sum((count(text) for text in texts), collections.Counter())
    return counted


def table(counted):
    some = sorted((item for item in counted.items() if item[1].total()), key=lambda item: (-item[1].total(), item[0].key))
    sums = sum((numbers for _, numbers in some), collections.Counter())
    lines = ["| crate | blocks | functions | implementations | all |", "| --- | ---: | ---: | ---: | ---: |"]
    row = "| {} | {blocks} | {functions} | {impls} | {} |"
    kinds = ("blocks", "functions", "impls")
    lines += [row.format(f"`{crate.name}` {crate.version}", n.total(), **{kind: n[kind] for kind in kinds}) for crate, n in some if n.total() >= IN_TABLE]
    few = [(crate, numbers) for crate, numbers in some if numbers.total() < IN_TABLE]
    rest = sum((numbers for _, numbers in few), collections.Counter())
    lines.append(row.format(f"{len(few)} others", rest.total(), **{kind: rest[kind] for kind in kinds}))
    lines.append(row.format(f"**{len(some)} of {len(counted)} crates**", sums.total(), **{kind: sums[kind] for kind in kinds}))
    lines += ["", "The others: " + ", ".join(f"`{crate.name}` {numbers.total()}" for crate, numbers in few) + "."]
    return "\n".join(lines) + "\n"


def parts(document):
    begin = document.index(BEGIN) + len(BEGIN)
    end = document.index(END, begin)
    return document[:begin], document[begin:end], document[end:]


def main():
    target = os.environ.get("CARGO_TARGET_DIR", crates.ROOT / "target/packages/build")
    counted = all_counted(pathlib.Path(target, crates.TARGET, "release/deps"))
    before, written, after = parts(DOCUMENT.read_text(encoding="utf-8"))
    if "--check" in sys.argv:
        known = set(re.findall(r"`([^`]+)` ", written))
        found = {crate.name for crate, numbers in counted.items() if numbers.total()}
        if found != known:
            sys.exit(
                f"unsafe: error: new crates with unsafe: {sorted(found - known)}, without it now: {sorted(known - found)}\n"
                "hint: look at what they do with it, then packaging/unsafe.py --write"
            )
        print(f"unsafe: in {len(found)} crates, all of which docs/security.md names")
        return
    print(table(counted), end="")
    if "--write" in sys.argv:
        today = datetime.datetime.now(datetime.timezone.utc).date()
        DOCUMENT.write_text(f"{before}\nCounted on {today}:\n\n{table(counted)}\n{after}", encoding="utf-8")


main()
