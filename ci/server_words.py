# SPDX-License-Identifier: BSD-3-Clause
"""What the scripts share that run a program of ours on a server which a target file describes."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harness"))

from vuc.profile import Profile, ProfileError, choose_profile  # noqa: E402 - the path comes first

BROKEN = 2


def parser_of(description: str) -> argparse.ArgumentParser:
    """A parser that knows how a server is named, and where things are built."""
    parser = argparse.ArgumentParser(description=f"{description}; see the head of the file")
    for name in ("target", "server", "socket"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--build", type=Path, default=Path("build"))
    return parser


def read_arguments(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """The arguments; what stands behind -- is the program's, as `extra`."""
    extra: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, extra = words[:at], words[at + 1 :]
    return parser.parse_args(words, argparse.Namespace(extra=extra))


def become(asked: argparse.Namespace,
           words_for: Callable[[argparse.Namespace, Profile], list[str]],
           choose: Callable[[Profile], Profile] = lambda profile: profile) -> int:
    """Turns into the program with words_for(asked, profile), the extra words and the server's;
    choose() may take a variant of the profile. Returns, with an exit status, only if the server is
    described wrongly."""
    try:
        profile = choose(choose_profile(asked.target, asked.server, asked.socket))
    except ProfileError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return BROKEN
    words = [*words_for(asked, profile), *asked.extra]
    if profile.socket or asked.socket:
        words.append(f"--socket={asked.socket or profile.socket}")
    else:
        words += ["--", *profile.argv]
    print(shlex.join(words), flush=True)
    os.environ.update(profile.env)
    os.execv(words[0], words)
