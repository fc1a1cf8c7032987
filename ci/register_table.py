# SPDX-License-Identifier: BSD-3-Clause
"""Makes the register of requirements (cases/requirements*.toml) into a table in C, for `vuc`.

    register_table.py REQUIREMENTS.toml... > register.c

The rows stand in the order of the files; harness/verdict.h says what they hold.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

HEAD = """/* SPDX-License-Identifier: BSD-3-Clause */
/* Made by ci/register_table.py from cases/requirements*.toml; see verdict.h. */
#include "verdict.h"

const struct verdict_clause verdict_clauses[] = {
"""
TAIL = """};

const size_t verdict_nclauses = sizeof(verdict_clauses) / sizeof(verdict_clauses[0]);
"""


def literal(text: str) -> str:
    """A string of C. Letters beyond ASCII become octal escapes of their UTF-8 bytes."""
    escaped = json.dumps(text, ensure_ascii=False).replace("?", r"\?")
    return "".join(
        letter if letter.isascii() else "".join(f"\\{byte:03o}" for byte in letter.encode())
        for letter in escaped
    )


def table(rows: list[dict[str, str]]) -> str:
    """The source of the table; a row needs id, level, section and statement."""
    keys = ("id", "level", "section", "statement")
    lines = ("\t{ " + ",\n\t  ".join(literal(row[key]) for key in keys) + " },\n" for row in rows)
    return HEAD + "".join(lines) + TAIL


def main(*paths: str) -> None:
    files = (tomllib.loads(Path(path).read_text(encoding="utf-8")) for path in paths)
    sys.stdout.write(table([row for file in files for row in file["requirement"]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
