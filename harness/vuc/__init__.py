# SPDX-License-Identifier: BSD-3-Clause
"""The vfio-user conformance suite: what cases import.

Modules import only from the left to the right of this row: _abi, duration, schema, failure,
message, register, profile, marks, evidence, session, target, device, flood, measure, limits, known,
verdict, report, plugin.
"""

from .failure import Failure
from .marks import covers, hostile, in_each_dialect, needs, reading
from .message import Message, message, parse, structure, unknown
from .schema import COMMANDS, constants

__all__ = [
    "COMMANDS",
    "Failure",
    "Message",
    "constants",
    "covers",
    "hostile",
    "in_each_dialect",
    "message",
    "needs",
    "parse",
    "reading",
    "structure",
    "unknown",
]
