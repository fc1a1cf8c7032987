# SPDX-License-Identifier: BSD-3-Clause
"""The two durations that exist: `short` to show that nothing comes, `long` to give up.

Both are seconds and grow with one factor, the option --patience. Where a function takes
`timeout=None` it means the long one.
"""

from __future__ import annotations

SHORT = 0.05
LONG = 5.0
DEFAULT_SCALE = 0.01  # of counts, for every day; 1 is what a case about many or long has to show

_patience = 1.0


def set_patience(factor: float) -> None:
    """Multiply both durations from now on; `factor` must be positive."""
    global _patience
    if not factor > 0:
        raise ValueError("patience must be a positive number")
    _patience = factor


def short() -> float:
    """Seconds after which nothing is taken to come any more."""
    return SHORT * _patience


def long() -> float:
    """Seconds after which the server is given up."""
    return LONG * _patience


def milliseconds(timeout: float | None) -> int:
    """A timeout in the unit of the library; None is the long duration."""
    return round((long() if timeout is None else timeout) * 1000)
