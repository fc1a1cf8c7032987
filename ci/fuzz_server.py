# SPDX-License-Identifier: BSD-3-Clause
"""Fuzzes a server over its socket: `build/vuc fuzz`, with what a target file says of the server.

    fuzz_server.py [--target=FILE] [--server=COMMAND] [--socket=PATH] [--vuc=FILE] [--build=DIR]
                   [--level=LEVEL] [--time=S] [--seeds=DIR]... [-- OPTION...]

The options behind -- go to `vuc fuzz`. Exit status: that of `vuc fuzz`; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))

from vuc.profile import Profile, ProfileError, choose_profile  # noqa: E402 - the path comes first

BROKEN = 2


def read_arguments(words: list[str]) -> argparse.Namespace:
    extra: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, extra = words[:at], words[at + 1 :]
    parser = argparse.ArgumentParser(description="fuzzes a server; see the head of the file")
    for name in ("target", "server", "socket"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--vuc", type=Path, default=Path("build/vuc"))
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--level", default="must")
    parser.add_argument("--time", type=int, default=60, help="seconds")
    parser.add_argument("--seeds", type=Path, action="append", default=[])
    asked = parser.parse_args(words)
    asked.extra = extra
    return asked


def name_of(asked: argparse.Namespace, profile: Profile) -> str:
    """The name of the target file, else of the program."""
    if asked.target or not profile.argv:
        return profile.name
    return Path(profile.argv[0]).name


def command(asked: argparse.Namespace, profile: Profile) -> list[str]:
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
    words += asked.extra
    if profile.socket or asked.socket:
        return [*words, f"--socket={asked.socket or profile.socket}"]
    return [*words, "--", *profile.argv]


def main(words: list[str]) -> int:
    asked = read_arguments(words)
    try:
        profile = choose_profile(asked.target, asked.server, asked.socket)
    except ProfileError as error:
        print(f"fuzz_server: {error}", file=sys.stderr)
        return BROKEN
    line = command(asked, profile)
    print(shlex.join(line), flush=True)
    os.environ.update(profile.env)
    os.execv(line[0], line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
