# SPDX-License-Identifier: BSD-3-Clause
"""The inputs that a fuzzing campaign begins with.

    campaign_seeds.py --vuc=FILE OUT [NAME...]

As a program: fuzz_NAME_seed_corpus.zip in OUT for each fuzz/fuzz_NAME.c, or those that are named,
with what is in fuzz/corpus/NAME and, for an entry whose inputs are programs, the programs of
corpus/, packed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

PROGRAM = ".prog"


def gather(sources: Iterable[Path], target: Path, vuc: Path | None) -> None:
    """All seeds in one folder, programs among them packed by `vuc`, or left out without it."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for source in sources:
        for path in sorted(source.glob("*")):
            if path.suffix != PROGRAM:
                shutil.copy(path, target / path.name)
            elif vuc:
                subprocess.run([vuc, "pack", "--output", target / path.stem, path], check=True)
    never_empty(target)


def never_empty(folder: Path) -> None:
    """AFL++ does not begin without a seed."""
    if not any(folder.iterdir()):
        (folder / "nothing").write_bytes(b"\0")


def sources_of(entry: Path) -> list[Path]:
    """The folders with seeds for the entry in a file fuzz/fuzz_NAME.c."""
    own = entry.parent / "corpus" / entry.stem.removeprefix("fuzz_")
    packed = '#include "pack.h"' in entry.read_text(encoding="utf-8")
    return [own, *sorted(Path("corpus").glob("*/"))] if packed else [own]


def pack_all(vuc: Path, out: Path, names: list[str]) -> None:
    entries = [Path(f"fuzz/fuzz_{name}.c") for name in names]
    for entry in entries or sorted(Path("fuzz").glob("fuzz_*.c")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "seeds"
            gather(sources_of(entry), folder, vuc)
            with zipfile.ZipFile(out / f"{entry.stem}_seed_corpus.zip", "w") as archive:
                for path in sorted(folder.iterdir()):
                    archive.write(path, path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description="seeds of all entries as archives")
    parser.add_argument("--vuc", type=Path, required=True)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()
    pack_all(asked.vuc, asked.out, asked.names)


if __name__ == "__main__":
    main()
