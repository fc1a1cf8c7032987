# SPDX-License-Identifier: BSD-3-Clause
"""Fuzzes a server over its socket: `build/vuc fuzz`, with what a target file says of the server.

    fuzz_server.py [--target=FILE] [--server=COMMAND] [--socket=PATH] [--vuc=FILE] [--build=DIR]
                   [--level=LEVEL] [--time=S] [--seeds=DIR]... [-- OPTION...]

The options behind -- go to `vuc fuzz`. Exit status: that of `vuc fuzz`; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from server_words import Profile, become, parser_of, read_arguments


def name_of(asked: argparse.Namespace, profile: Profile) -> str:
    """The name of the target file, else of the program."""
    if asked.target or not profile.argv:
        return profile.name
    return Path(profile.argv[0]).name


def words_for(asked: argparse.Namespace, profile: Profile) -> list[str]:
    """The words of `vuc fuzz`."""
    name = name_of(asked, profile)
    words = [
        str(asked.vuc), "fuzz", f"--name={name}", f"--level={asked.level}", f"--time={asked.time}",
        f"--findings={asked.build / 'findings' / name}",
        f"--report={asked.build / 'report' / f'fuzz-{name}.json'}",
        *(f"--corpus={directory}" for directory in asked.seeds),
    ]  # fmt: skip
    if profile.strict:
        words.append(f"--strict={','.join(profile.strict)}")
    if profile.sessions == "one":
        words.append("--once")
    return words


def main(words: list[str]) -> int:
    parser = parser_of("fuzzes a server")
    parser.add_argument("--vuc", type=Path, default=Path("build/vuc"))
    parser.add_argument("--level", default="must")
    parser.add_argument("--time", type=int, default=60, help="seconds")
    parser.add_argument("--seeds", type=Path, action="append", default=[])
    return become(read_arguments(parser, words), words_for)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
