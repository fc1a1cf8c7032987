# SPDX-License-Identifier: BSD-3-Clause
"""How an `assert` that compares bytes is explained when it fails.

pytest's own explanation is a line by line diff, which takes minutes for the data of a large
access (with -v, or where CI is set). What one wants to know of bytes is where they first differ.
"""

from __future__ import annotations

from typing import Any

from _pytest.assertion import util

SHOWN = 16  # bytes of either side


def explain(left: bytes, right: bytes) -> list[str]:
    """Two different strings of bytes in a few lines: their lengths, and the first difference."""
    same = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b),
                min(len(left), len(right)))
    return [
        f"<{len(left)} bytes> == <{len(right)} bytes>",
        f"from byte {same:#x}: {left[same : same + SHOWN].hex(' ') or 'the end'}"
        f" != {right[same : same + SHOWN].hex(' ') or 'the end'}",
    ]


def install() -> None:
    """From now on pytest explains bytes by explain(). There is no public way to keep its own
    explanation from being made: all hooks are asked, and the slow one with them."""
    ordinary = util.assertrepr_compare

    def compare(*, op: str, left: Any, right: Any, **rest: Any) -> list[str] | None:
        both = all(isinstance(side, (bytes, bytearray)) for side in (left, right))
        if both and op == "==":
            return explain(left, right)
        return ordinary(op=op, left=left, right=right, **rest)

    util.assertrepr_compare = compare
