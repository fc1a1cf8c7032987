# SPDX-License-Identifier: BSD-3-Clause
"""What cases send, as programs in a folder (corpus/README.md): seeds for whoever runs programs.

A case with several connections becomes a program for each: CASE.prog, CASE.2.prog and so on, in
the order in which they were closed, and no more than MOST for a case that has a crowd of them.
Programs that are the same but for their comments, and so pack to the same bytes, are kept once:
under the name that sorts first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

SUFFIX = ".prog"
LONGEST = 150  # characters of a name, before its number
HASHED = 8
MOST = 16  # programs of a case


def _only_steps(text: str) -> str:
    """A program without its comments."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def stem(case: str) -> str:
    """A file name for the id of a case, another one for each id."""
    name = re.sub(r"[/\[]", "-", case.replace("]", ""))
    safe = re.sub(r"[^\w.,=+-]", "_", name, flags=re.ASCII)[:LONGEST]
    return safe if safe == name else f"{safe}-{sha256(case.encode()).hexdigest()[:HASHED]}"


def write(folder: Path, case: str, requirements: Iterable[str], programs: Sequence[str]) -> None:
    """Writes the programs of a case that have a step and differ. The folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    head = f"# {case}\n# {' '.join(requirements)}\n"
    texts = list(dict.fromkeys(filter(_only_steps, programs)))
    for number, text in enumerate(texts[:MOST], start=1):
        name = stem(case) + (f".{number}" if number > 1 else "")
        (folder / f"{name}{SUFFIX}").write_text(head + text, encoding="utf-8")


def keep_once(folder: Path) -> int:
    """Removes the programs that another one equals; how many are left."""
    seen: set[str] = set()
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stem):
        steps = _only_steps(path.read_text(encoding="utf-8"))
        if steps in seen:
            path.unlink()
        seen.add(steps)
    return len(seen)
