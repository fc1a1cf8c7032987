# SPDX-License-Identifier: BSD-3-Clause
"""Samples the scenarios of explore on a server: build/explore-socket, with what a target file says.

    explore_server.py [--target=FILE] [--server=COMMAND] [--socket=PATH] [--build=DIR]
                      [--scenario=NAME] [--samples=N] [--seed=S] [-- OPTION...]

The server needs the test device and the vIOMMU extension: where only a variant of the target has
them, that variant is taken. The options behind -- go to explore-socket (fuzz/sample.c). Exit
status: that of explore-socket; 2 for wrong usage.
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
    parser = argparse.ArgumentParser(description="samples orders; see the head of the file")
    for name in ("target", "server", "socket", "scenario", "samples", "seed"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--build", type=Path, default=Path("build"))
    asked = parser.parse_args(words)
    asked.extra = extra
    return asked


def extended(profile: Profile) -> Profile:
    """The profile, or its variant that requests pages."""
    if profile.features.get("device_pages"):
        return profile
    fitting = [one for one in profile.variants if one.features.get("device_pages")]
    return profile.varied(fitting[0]) if fitting else profile


def main(words: list[str]) -> int:
    asked = read_arguments(words)
    try:
        profile = extended(choose_profile(asked.target, asked.server, asked.socket))
    except ProfileError as error:
        print(f"explore_server: {error}", file=sys.stderr)
        return BROKEN
    line = [str(asked.build / "explore-socket"),
            f"--findings={asked.build / 'findings' / 'explore'}"]  # fmt: skip
    line += [f"--{name}={value}" for name in ("scenario", "samples", "seed")
             if (value := getattr(asked, name))]  # fmt: skip
    line += asked.extra
    if profile.socket or asked.socket:
        line += [f"--socket={asked.socket or profile.socket}"]
    else:
        line += ["--", *profile.argv]
    print(shlex.join(line), flush=True)
    os.environ.update(profile.env)
    os.execv(line[0], line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
