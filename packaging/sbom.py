#!/usr/bin/env python3
"""The bill of materials of the program, in CycloneDX 1.6: what scanners of vulnerabilities and licences read.

  SOURCE_DATE_EPOCH=... packaging/sbom.py RUSTC_VERSION ZIG_VERSION >sbom.cdx.json
  packaging/sbom.py --same-as PROGRAM sbom.cdx.json

The first makes it: what is linked has the scope `required`, what only builds (procedural macros, build scripts and what they need) `excluded`.
The same Cargo.lock, compilers and time give the same bytes. The second compares it with the list that cargo-auditable has put into the program.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import urllib.parse
import uuid
import zlib

import crates

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
SECTION = ".dep-v0"


def reference(crate):
    # What is not published has no name at a registry that somebody else could take.
    # A version may have a plus in it, which means something else there.
    return f"pkg:{'generic' if crate.is_own else 'cargo'}/{crate.name}@{urllib.parse.quote(crate.version)}"


def licence(expression):
    # Old manifests write a slash for OR.
    return [{"expression": re.sub(r"\s*/\s*", " OR ", expression)}]


def component(crate):
    package = crate.package
    if not package["license"]:
        sys.exit(f"sbom: error: {crate.name} {crate.version} names no licence in its Cargo.toml")
    made = {
        "type": "application" if crate.name == crates.PROGRAM else "library",
        "bom-ref": reference(crate),
        "name": crate.name,
        "version": crate.version,
        "scope": "required" if crate.linked else "excluded",
        "licenses": licence(package["license"]),
        "purl": reference(crate),
    }
    if crate.checksum:
        # Of the archive at the registry, as Cargo.lock has it.
        made["hashes"] = [{"alg": "SHA-256", "content": crate.checksum}]
    if package["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def other(name, version, expression, description, cpe=None):
    """What is linked and is no crate of a registry."""
    name_and_version = f"pkg:generic/{name}@{version}"
    made = {
        "type": "library",
        "bom-ref": name_and_version,
        "name": name,
        "version": version,
        "description": description,
        "scope": "required",
        "licenses": licence(expression),
        "purl": name_and_version,
    }
    return {**made, "cpe": cpe} if cpe else made


def bill(rustc, zig):
    version = rustc.split()[1]
    moment = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    all_crates = crates.all_crates()
    program = next(crate for crate in all_crates if crate.name == crates.PROGRAM)
    others = [
        other("rust-std", version, "MIT OR Apache-2.0", f"Standard library of Rust ({rustc})", f"cpe:2.3:a:rust-lang:rust:{version}:*:*:*:*:*:*:*"),
        other("zig", zig, "MIT AND (Apache-2.0 WITH LLVM-exception)", "Start-up code, compiler_rt and libunwind, as the linker zig brings them"),
    ]
    needs = [(reference(crate), crate.needs) for crate in all_crates]
    by_key = {crate.key: reference(crate) for crate in all_crates}
    depends = {name: sorted(by_key[key] for key in keys) for name, keys in needs}
    depends[reference(program)] = sorted(depends[reference(program)] + [part["bom-ref"] for part in others])
    depends.update((part["bom-ref"], []) for part in others)
    made = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "component": {key: value for key, value in component(program).items() if key != "scope"},
            "properties": [{"name": "cdx:rustc:sbom:target:triple", "value": crates.TARGET}],
        },
        "components": [component(crate) for crate in all_crates if crate is not program] + others,
        "dependencies": [{"ref": name, "dependsOn": on} for name, on in sorted(depends.items())],
    }
    # From what it says, so that another bill has another number, and the same one the same.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(made, sort_keys=True))
    return {**made, "serialNumber": f"urn:uuid:{number}"}


def in_program(path):
    """What cargo-auditable has put into the program: names and versions of its crates, but for those that only build."""
    taken = subprocess.run(["objcopy", "--dump-section", f"{SECTION}=/dev/stdout", path, "/dev/null"], check=True, stdout=subprocess.PIPE).stdout
    packages = json.loads(zlib.decompress(taken))["packages"]
    return {(package["name"], package["version"]) for package in packages if package.get("kind", "runtime") == "runtime"}


def same_as(program, path):
    named = in_program(program)
    with open(path, encoding="utf-8") as file:
        made = json.load(file)
    of_registry = (part for part in made["components"] if part["scope"] == "required" and part["purl"].startswith("pkg:cargo/"))
    said = {(part["name"], part["version"]) for part in of_registry}
    if said - named:
        missing = ", ".join(f"{name} {version}" for name, version in sorted(said - named))
        sys.exit(f"sbom: error: the bill has crates that the program does not name: {missing}")
    # cargo-auditable goes by `cargo metadata`, which adds what only tests turn on.
    own = {(crate.name, crate.version) for crate in crates.linked() if crate.is_own}
    more = ", ".join(name for name, _ in sorted(named - said - own)) or "none"
    print(f"bill of materials: {len(said)} crates, all of which the program names; named beside them: {more}")


def main():
    if sys.argv[1] == "--same-as":
        same_as(*sys.argv[2:4])
    else:
        json.dump(bill(*sys.argv[1:3]), sys.stdout, indent=1, sort_keys=True)
        print()


main()
