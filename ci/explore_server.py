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
import sys

from server_words import Profile, become, parser_of, read_arguments

PASSED_ON = ("scenario", "samples", "seed")


def extended(profile: Profile) -> Profile:
    """The profile, or its variant that requests pages."""
    if profile.features.get("device_pages"):
        return profile
    fitting = [one for one in profile.variants if one.features.get("device_pages")]
    return profile.varied(fitting[0]) if fitting else profile


def words_for(asked: argparse.Namespace, profile: Profile) -> list[str]:
    """The words of explore-socket."""
    given = {name: getattr(asked, name) for name in PASSED_ON}
    return [str(asked.build / "explore-socket"),
            f"--findings={asked.build / 'findings' / 'explore'}",
            *(f"--{name}={value}" for name, value in given.items() if value)]  # fmt: skip


def main(words: list[str]) -> int:
    parser = parser_of("samples orders")
    for name in PASSED_ON:
        parser.add_argument(f"--{name}")
    return become(read_arguments(parser, words), words_for, extended)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
