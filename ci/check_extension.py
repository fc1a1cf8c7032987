# SPDX-License-Identifier: BSD-3-Clause
"""The text of the vIOMMU extension agrees with its register, and its tables with themselves.

    check_extension.py [ROOT]

A clause is an item of a list that ends with its id in brackets; its level is the one word of must,
should and may in it, and its subject is its second word. Register and text must have the same
clauses in the same order, with the same words, level, subject and heading. Outside of clauses
nothing `must` or `should`, except in the section that explains the words, and every id that is
mentioned exists. The fields of a table of offsets follow each other without a gap, and the sentence
behind it says their sum; a table of bits has each of the 32 once. Prints a line for each thing that
is wrong and exits 1; else says how much was read and exits 0.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TEXT = "reference-server/viommu.rst"
REGISTER = "cases/requirements-viommu.toml"
SECTION = "vIOMMU extension / "  # and the heading, in the register
EXPLAINS = "Words"
SUBJECTS = {"server": "server", "device": "server", "client": "client",
            "sender": "both", "receiver": "both"}
UNDERLINE = re.compile(r"([=\-^])\1{2,}")
RULE = re.compile(r"=+(  =+)+")
ID = re.compile(r"\bVE-[A-Z]+-\d{3}\b")
CLAUSE = re.compile(r"\* (.*) \[(VE-[A-Z]+-\d{3})\]")
LEVEL = re.compile(r"\b(must|should|may)\b")
SUM = re.compile(r"(?:This structure|The fixed part) is (\d+) bytes in size\.")


@dataclass(frozen=True)
class Block:
    """A paragraph, an item of a list or a table, with the heading that it stands under."""

    heading: str
    lines: tuple[str, ...]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.lines).split())


def plain(text: str) -> str:
    """The words of a text without its markup."""
    return re.sub(r"`_|[`*]", "", text)


def read_blocks(text: str) -> Iterator[Block]:
    """The blocks of a text, without its headings. Tables are read whole: none has an empty line."""
    heading, block = "", list[str]()
    for line in [*text.splitlines(), ""]:
        if block[-1:] and UNDERLINE.fullmatch(line) and len(line) >= len(block[-1]):
            heading, block = plain(block[-1]), []
            continue
        if block and (not line or line.startswith("* ")):
            yield Block(heading, tuple(block))
            block = []
        if line:
            block.append(line)


def read_clauses(blocks: Sequence[Block]) -> list[dict[str, str]]:
    """The clauses, as far as the register repeats them."""
    found = []
    for block in blocks:
        if match := CLAUSE.fullmatch(block.words):
            statement = plain(match[1])
            levels = set(LEVEL.findall(statement))
            found.append({
                "id": match[2], "section": SECTION + block.heading, "statement": statement,
                "subject": SUBJECTS.get(statement.split()[1], "?"),
                "level": levels.pop().upper() if len(levels) == 1 else "?",
            })
    return found


def clause_problems(clauses: Sequence[dict], rows: Sequence[dict]) -> list[str]:
    """Where text and register differ."""
    left, right = [one["id"] for one in clauses], [row["id"] for row in rows]
    found = [f"{name}: twice in the text" for name in sorted(set(left)) if left.count(name) > 1]
    found += [f"{name}: not in the register" for name in left if name not in right]
    found += [f"{name}: not in the text" for name in right if name not in left]
    if not found and left != right:
        found.append("text and register have their clauses in different orders")
    by_id = {row["id"]: row for row in rows}
    return found + [
        f"{one['id']}: {key}: {value!r} in the text, {by_id[one['id']][key]!r} in the register"
        for one in clauses if one["id"] in by_id
        for key, value in one.items() if by_id[one["id"]][key] != value
    ]


def prose_problems(blocks: Sequence[Block], clauses: Sequence[dict]) -> list[str]:
    """Sentences that bind without an id, and ids that nothing has."""
    known, found = {one["id"] for one in clauses}, []
    for block in blocks:
        beginning = f"under {block.heading!r}: {block.words[:40]!r}..."
        found += [f"{beginning} mentions {name}" for name in ID.findall(block.words)
                  if name not in known]
        if CLAUSE.fullmatch(block.words) or block.heading == EXPLAINS:
            continue
        if set(LEVEL.findall(block.words)) - {"may"}:
            found.append(f"{beginning} binds somebody and has no id")
    return found


def read_rows(lines: Sequence[str]) -> list[list[str]]:
    """The rows of a simple table, its head first; a row whose first cell is empty goes on."""
    starts = [match.start() for match in re.finditer(r"=+", lines[0])]
    ends = [*starts[1:], None]
    cells = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)]
             for line in lines if not RULE.fullmatch(line)]
    return [row for row in cells if row[0]]


def offset_problems(rows: Sequence[Sequence[str]], sentence: str) -> list[str]:
    """Fields that do not follow each other, or do not add up to what the sentence behind says."""
    found, end = [], 0
    for name, offset, size, *_ in rows:
        if offset != str(end):
            found.append(f"field {name} at {offset}, the one before ends at {end}")
        if size.isdigit():
            end += int(size)
        elif name != rows[-1][0]:
            found.append(f"field {name} has no size and is not the last")
    said = SUM.match(sentence)
    if said is None or said[1] != str(end):
        found.append(f"{end} bytes, and behind it: {sentence[:40]!r}")
    return found


def bit_problems(rows: Sequence[Sequence[str]]) -> list[str]:
    """Bits that are missing, or there twice."""
    bits = [bit for row in rows for first, _, last in [row[0].partition("-")]
            for bit in range(int(first), int(last or first) + 1)]
    return [] if bits == list(range(32)) else [f"bits {bits}"]


def table_problems(blocks: Sequence[Block]) -> tuple[int, list[str]]:
    """How many tables of offsets or bits there are, and what is wrong with them."""
    count, found = 0, []
    for block, behind in zip(blocks, [*blocks[1:], Block("", ())], strict=True):
        if not RULE.fullmatch(block.lines[0]):
            continue
        head, *rows = read_rows(block.lines)
        said = None
        if head[:3] == ["Name", "Offset", "Size"]:
            said = offset_problems(rows, behind.words)
        elif head[0] == "Bit":
            said = bit_problems(rows)
        if said is not None:
            count += 1
            found += [f"table under {block.heading!r}: {words}" for words in said]
    return count, found


def main(arguments: Sequence[str]) -> int:
    """Prints what is wrong with the two files; 0 or 1."""
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent).resolve()
    blocks = list(read_blocks((root / TEXT).read_text(encoding="utf-8")))
    rows = tomllib.loads((root / REGISTER).read_text(encoding="utf-8"))["requirement"]
    clauses = read_clauses(blocks)
    tables, found = table_problems(blocks)
    found += clause_problems(clauses, rows) + prose_problems(blocks, clauses)
    for line in found:
        print(line)
    if not found:
        print(f"extension: {len(clauses)} clauses, {tables} tables")
    return bool(found) or not clauses


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
