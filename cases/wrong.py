# SPDX-License-Identifier: BSD-3-Clause
"""The grid of ordinary wrong shapes: every command times every kind of being wrong.

A Shape changes one thing in a good message (good.py) and says which requirements it is about and
which outcomes they permit. Shapes that follow from the layout are made from the schema; where a
value depends on the device, it is computed when the case runs. GRID has a cell for each command
and kind: its shapes, or a sentence that says why it is empty. test_wrong_shapes.py walks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from good import NEEDS, Good
from mapping import BASE, PAGE, SIZE
from vuc import COMMANDS, Message
from vuc.schema import Command, Role

REFUSED = ("error",)
EITHER = ("success", "error")
ENDED = ("error", "close")
ANY = ("success", "error", "close")

TOP = 1 << 64
HIGH = 1 << 63
LARGEST = (1 << 32) - 1
SIGN = 1 << 31
SURPLUS = {"by-one": 1, "by-eight": 8, "by-a-page": PAGE}
ARGSZ = {"zero": 0, "four": 4, "sign": SIGN, "largest": LARGEST}

Change = Callable[[Message, Any], Message]
Cell = list["Shape"] | str


@dataclass(frozen=True)
class Shape:
    """One way to be wrong. covers: ids of the register, the first is blamed; outcomes: what they
    permit; change: makes the message wrong, given the good one and its Good. attach: how many
    descriptors come with it beyond those that the good message has, or a function of its Good."""

    command: str
    name: str
    covers: tuple[str, ...]
    outcomes: tuple[str, ...]
    change: Change = lambda message, good: message
    variant: str = ""
    attach: int | Callable[[Good], int] = 0
    needs: tuple[str, ...] = ()
    flat: bool = False  # asks for much: the server's memory may not grow

    @property
    def id(self) -> str:
        """The words that stand for it in the id of a case."""
        return f"{self.command.lower()}-{self.name}"

    def message(self, good: Good) -> Message:
        """The wrong message."""
        return self.change(good.message(self.variant), good)

    def surplus(self, good: Good) -> int:
        """The number of descriptors that the good message does not have."""
        return self.attach(good) if callable(self.attach) else self.attach


def put(**values: int | str) -> Change:
    """Fields set to numbers, or to names."""
    return lambda message, good: message.replace(**values)


def put_from(**values: Callable[[Any], int]) -> Change:
    """Fields set to what the device makes of them."""
    return lambda message, good: message.replace(**{k: of(good) for k, of in values.items()})


def _fields(row: Command, *roles: Role) -> list[Any]:
    return [one for one in row.request.values() if one.width and one.role in roles]


def _shapes(row: Command, covers: str | Sequence[str], outcomes: tuple[str, ...],
            changes: dict[str, Change], **more: Any) -> Iterator[Shape]:
    ids = (covers,) if isinstance(covers, str) else tuple(covers)
    for name, change in changes.items():
        yield Shape(row.name, name, ids, outcomes, change, **more)


# ---- the payload ends early, or late ----

SHORT = {
    "VERSION": "VER-NEG-010",
    "DMA_MAP": "DMA-MAP-003",
    "DMA_UNMAP": "DMA-UNMAP-009",
    "DEVICE_GET_INFO": "INFO-DEV-006",
    "DEVICE_GET_REGION_INFO": "REG-INFO-003",
    "DEVICE_GET_REGION_IO_FDS": "REG-IOFD-002",
    "DEVICE_GET_IRQ_INFO": "IRQ-INFO-003",
    "DEVICE_SET_IRQS": "IRQ-SET-014",
    "REGION_READ": "RW-READ-002",
    "REGION_WRITE": "RW-WRITE-002",
    "REGION_WRITE_MULTI": "RW-MULTI-004",
    "DEVICE_FEATURE": "FEAT-GEN-001",
    "MIG_DATA_READ": "MIG-READ-006",
    "MIG_DATA_WRITE": "MIG-WRITE-004",
}


def cut(row: Command) -> Cell:
    """The payload ends at the start of each field, and one byte before the end."""
    if not row.request_size:
        return "there is no payload to cut"
    ends = {one.offset: f"cut-before-{one.name}" for one in _fields(row, *Role)}
    ends[row.request_size - 1] = "cut-by-one"
    outcomes = ENDED if row.name == "VERSION" else REFUSED
    changes = {
        name.replace("_", "-"): lambda message, good, end=end: message.cut(end)
        for end, name in ends.items()
    }
    return list(_shapes(row, SHORT[row.name], outcomes, changes))


LONG = {
    "VERSION": ("VER-JSON-004", ANY),
    "DMA_MAP": ("DMA-MAP-004", EITHER),
    "DMA_UNMAP": ("DMA-UNMAP-010", EITHER),
    "DEVICE_GET_INFO": ("INFO-DEV-007", EITHER),
    "DEVICE_GET_REGION_INFO": ("INFO-DEV-007", EITHER),
    "DEVICE_GET_IRQ_INFO": ("INFO-DEV-007", EITHER),
    "DEVICE_SET_IRQS": ("IRQ-SET-017", EITHER),
    "REGION_WRITE": ("RW-WRITE-002", REFUSED),
    "REGION_WRITE_MULTI": ("RW-MULTI-004", REFUSED),
    "DEVICE_FEATURE": ("FEAT-GEN-012", EITHER),
}


def longer(row: Command) -> Cell:
    """Bytes that nothing announces follow the payload."""
    covers, outcomes = LONG.get(row.name, ("HDR-SIZE-005", EITHER))
    if row.name.startswith("MIG_DATA"):
        return "answered by the state of the device, whatever the payload"
    changes = {
        f"long-{name}": lambda message, good, count=count: message.extend(b"\xa5" * count)
        for name, count in SURPLUS.items()
    }
    return list(_shapes(row, (covers, "HDR-SIZE-005"), outcomes, changes))


# ---- fields that tell nothing, or what the message says already ----

SMALL_ARGSZ = {
    "DMA_MAP": "DMA-MAP-004",
    "DMA_UNMAP": "DMA-UNMAP-010",
    "DEVICE_SET_IRQS": "IRQ-SET-015",
    "DEVICE_FEATURE": "FEAT-GEN-012",
}


def argsz(row: Command) -> Cell:
    """argsz is smaller than the structure, or as large as a number can be."""
    if not _fields(row, Role.ARGSZ):
        return "there is no argsz"
    if row.name.startswith("MIG_DATA"):
        return "answered by the state of the device, whatever argsz says"
    numbers = {**ARGSZ, "one-less": row.request_size - 1}
    cells: list[Shape] = []
    for name, number in numbers.items():
        huge = number >= SIGN
        small = SMALL_ARGSZ.get(row.name, "ARGSZ-GEN-005")
        cells += _shapes(row, "ARGSZ-GEN-006" if huge else small, EITHER,
                         {f"argsz-{name}": put(argsz=number)}, flat=huge)
    return cells


RESERVED = {
    "DMA_UNMAP": "DMA-UNMAP-008",
    "DEVICE_GET_REGION_INFO": "REG-INFO-004",
    "DEVICE_GET_REGION_IO_FDS": "REG-IOFD-002",
}


def reserved(row: Command) -> Cell:
    """A field that has to be zero has all its bits set."""
    fields = _fields(row, Role.RESERVED)
    if not fields:
        return "no field is reserved"
    changes = {f"reserved-{one.name}".replace("_", "-"): put(**{one.name: one.limit - 1})
               for one in fields}
    return list(_shapes(row, RESERVED.get(row.name, "INFO-DEV-007"), EITHER, changes))


FLAGS = {
    "DMA_MAP": "DMA-MAP-011",
    "DMA_UNMAP": "DMA-UNMAP-008",
    "DEVICE_SET_IRQS": "IRQ-SET-013",
    "DEVICE_FEATURE": "FEAT-GEN-007",
}


def _flag(name: str, bit: int) -> Change:
    return lambda message, good: message.replace(**{name: message.values[name] | 1 << bit})


def flags(row: Command) -> Cell:
    """Each flag that has no meaning, one by one, and none of those that have one."""
    if row.name not in FLAGS:
        return "there are no flags" if "flags" not in row.request else "the flags are reserved"
    one = row.request["flags"]
    known = reduce(or_, one.constants.values(), one.mask)
    changes = {f"flag-{bit}": _flag("flags", bit) for bit in range(32) if not known >> bit & 1}
    cells = list(_shapes(row, FLAGS[row.name], EITHER, changes))
    if row.name == "DMA_MAP":
        cells += _shapes(row, "DMA-MAP-010", EITHER, {"flags-none": put(flags=0)})
    if row.name == "DEVICE_SET_IRQS":
        cells += _shapes(row, "IRQ-SET-012", REFUSED, {
            "flags-none": put(flags=0),
            "flags-no-data": put(flags="ACTION_TRIGGER"),
            "flags-no-action": put(flags="DATA_EVENTFD"),
            "flags-all": put(flags=known),
        })
    return cells


# ---- numbers that name something ----

INDEX = {
    "DEVICE_GET_REGION_INFO": "REG-INFO-002",
    "DEVICE_GET_REGION_IO_FDS": "REG-IOFD-002",
    "DEVICE_GET_IRQ_INFO": "IRQ-INFO-002",
    "DEVICE_SET_IRQS": "IRQ-SET-011",
    "REGION_READ": "RW-READ-003",
    "REGION_WRITE": "RW-WRITE-003",
}


def index(row: Command) -> Cell:
    """The first index that there is not, and others that are not there."""
    fields = _fields(row, Role.INDEX)
    if not fields:
        return "there is no index" + " but in its entries" * (row.name == "REGION_WRITE_MULTI")
    name = fields[0].name
    return list(_shapes(row, INDEX[row.name], REFUSED, {
        f"{name}-at-the-end": put_from(**{name: lambda good: good.end}),
        f"{name}-beyond": put_from(**{name: lambda good: good.end + 1}),
        f"{name}-modulo-256": put_from(**{name: _modulo(name, 1 << 8)}),
        f"{name}-modulo-65536": put_from(**{name: _modulo(name, 1 << 16)}),
        f"{name}-sign": put_from(**{name: _modulo(name, SIGN)}),
        f"{name}-largest": put(**{name: LARGEST}),
    }))


def _modulo(name: str, modulus: int) -> Callable[[Any], int]:
    # An index that is not there, and good once its upper bits are lost.
    return lambda good: good.message().values[name] + _past(good.end, modulus)


def _past(end: int, modulus: int) -> int:
    return max(modulus, -(-end // modulus) * modulus)


def _irq_range(start: Callable[[Any], int], count: Callable[[Any], int]) -> Change:
    def change(message: Message, good: Any) -> Message:
        number = count(good)
        data = b"\1" * number if message.data and number <= PAGE else message.data
        return message.replace(start=start(good), count=number, data=data)

    return change


def ranges(row: Command) -> Cell:
    """START and COUNT of vectors at the end, one beyond it, and past 32 bits."""
    if row.name != "DEVICE_SET_IRQS":
        return "there is no range of vectors"
    changes = {
        "start-at-the-end": _irq_range(lambda g: g.irq.count, lambda g: 1),
        "start-largest": _irq_range(lambda g: LARGEST, lambda g: 1),
        "start-sign": _irq_range(lambda g: SIGN, lambda g: 1),
        "start-modulo-256": _irq_range(lambda g: _past(g.irq.count, 1 << 8), lambda g: 1),
    }
    counts = {
        "count-one-beyond": _irq_range(lambda g: 0, lambda g: g.irq.count + 1),
        "end-one-beyond": _irq_range(lambda g: g.irq.count - 1, lambda g: 2),
        "count-largest": _irq_range(lambda g: 0, lambda g: LARGEST),
        "end-wraps-to-zero": _irq_range(lambda g: 1, lambda g: LARGEST),
        "end-wraps-from-the-middle": _irq_range(lambda g: SIGN, lambda g: SIGN),
    }
    cells = list(_shapes(row, "IRQ-SET-010", REFUSED, changes))
    for variant in ("none", "bool", "deassign"):
        named = {f"{variant}-{name}": change for name, change in (changes | counts).items()}
        cells += _shapes(row, "IRQ-SET-010", REFUSED, named, variant=variant, flat=True)
    return cells


# ---- sizes of data ----


def _irq_lengths(row: Command) -> list[Shape]:
    zero = {"deassign": "eventfd", "none": "none", "bool": "bool"}
    cells = [
        *_shapes(row, "IRQ-SET-016", REFUSED,
                 {"bool-without-data": lambda m, g: m.replace(data=b"", argsz=row.request_size)},
                 variant="bool"),
        *_shapes(row, "IRQ-SET-015", EITHER,
                 {"bool-with-more-data": lambda m, g: m.replace(data=b"\1\1")}, variant="bool"),
        *_shapes(row, "IRQ-SET-017", EITHER,
                 {"none-with-data": lambda m, g: m.replace(data=b"\1")}, variant="none"),
        *_shapes(row, "IRQ-SET-008", EITHER, {"count-zero-with-a-descriptor": put(count=0)}),
    ]
    for variant, word in zero.items():
        change = put(count=0, start=1) if variant == "none" else put(count=0)
        name = f"{word}-count-zero" + "-behind-the-first" * (variant == "none")
        cells += _shapes(row, "IRQ-SET-008", EITHER, {name: change}, variant=variant)
    return cells


def lengths(row: Command) -> Cell:
    """A length that disagrees with the data, with the region, or with the limit."""
    if row.name == "DEVICE_SET_IRQS":
        return _irq_lengths(row)
    if row.name == "REGION_READ":
        above = {"count-above-the-limit": put_from(count=lambda good: good.max_data + 1),
                 "count-sign": put(count=SIGN), "count-largest": put(count=LARGEST)}
        return [
            *_shapes(row, "RW-READ-008", EITHER, {"count-zero": put(count=0)}),
            *_shapes(row, "RW-READ-004", REFUSED,
                     {"count-beyond-the-region": put_from(count=_whole_region_and_one)}),
            *_shapes(row, "RW-READ-006", REFUSED, above, flat=True),
        ]
    if row.name == "REGION_WRITE":
        return _write_lengths(row)
    if row.name == "REGION_WRITE_MULTI":
        return list(_shapes(row, "RW-MULTI-004", REFUSED, {
            "wr-cnt-one-more": put(wr_cnt=2), "wr-cnt-largest": put(wr_cnt=TOP - 1),
            "wr-cnt-wrapping": put(wr_cnt=(1 << 61) + 1)}))
    if row.name.startswith("MIG_DATA"):
        return "answered by the state of the device, whatever the size"
    return "there is no length of data"


def _whole_region_and_one(good: Any) -> int:
    return min(good.region.size + 1, LARGEST)


def _write_lengths(row: Command) -> list[Shape]:
    counts = {
        "count-zero-with-data": lambda good: 0,
        "count-one-less": lambda good: good.width - 1,
        "count-one-more": lambda good: good.width + 1,
        "count-above-the-limit": lambda good: good.max_data + 1,
        "count-sign": lambda good: SIGN,
        "count-largest": lambda good: LARGEST,
    }
    changes = {name: put_from(count=of) for name, of in counts.items()}

    def too_much(message: Message, good: Any) -> Message:
        return message.replace(data=good.data(good.max_data + 1))

    return [
        *_shapes(row, "RW-WRITE-002", REFUSED, changes, flat=True),
        *_shapes(row, "RW-WRITE-005", EITHER,
                 {"nothing-to-write": lambda message, good: message.replace(data=b"")}),
        *_shapes(row, "RW-WRITE-006", ENDED, {"data-above-the-limit": too_much}),
    ]


# ---- places ----


@dataclass(frozen=True)
class Place:
    """A value of a place, or of the size behind it."""

    covers: str
    outcomes: tuple[str, ...]
    values: dict[str, Any] = field(hash=False)
    variant: str = ""

    def change(self, message: Message, good: Any) -> Message:
        """The message with the values; functions are asked for theirs."""
        return message.replace(**{
            name: value(good) if callable(value) else value for name, value in self.values.items()
        })


PLACES: dict[str, dict[str, Place]] = {
    "DMA_MAP": {
        "offset-unaligned": Place("VER-CAP-007", EITHER, {"offset": 1}),
        "offset-behind-the-file": Place("DMA-MAP-016", EITHER, {"offset": SIZE}),
        "offset-one-page-too-far": Place("DMA-MAP-016", EITHER, {"offset": PAGE}),
        "offset-sign": Place("DMA-MAP-016", EITHER, {"offset": HIGH}),
        "offset-wrapping": Place("DMA-MAP-016", EITHER, {"offset": TOP - PAGE}),
        "offset-without-descriptor": Place("DMA-MAP-015", EITHER, {"offset": PAGE}, "no-fd"),
        "address-unaligned": Place("VER-CAP-007", EITHER, {"address": BASE + 1}),
        "address-wrapping": Place("DMA-MAP-013", REFUSED, {"address": TOP - PAGE}),
        "address-wrapping-without-descriptor":
            Place("DMA-MAP-013", REFUSED, {"address": TOP - PAGE}, "no-fd"),
        "address-at-the-top": Place("DMA-MAP-013", EITHER, {"address": TOP - SIZE}, "no-fd"),
        "size-zero": Place("DMA-MAP-012", EITHER, {"size": 0}),
        "size-zero-without-descriptor": Place("DMA-MAP-012", EITHER, {"size": 0}, "no-fd"),
        "size-one": Place("VER-CAP-007", EITHER, {"size": 1}),
        "size-unaligned": Place("VER-CAP-007", EITHER, {"size": SIZE - 1}),
        "size-beyond-the-file": Place("DMA-MAP-016", EITHER, {"size": 2 * SIZE}),
        "size-terabyte": Place("DMA-MAP-014", EITHER, {"size": 1 << 40}, "no-fd"),
        "size-sign": Place("DMA-MAP-014", EITHER, {"size": HIGH}, "no-fd"),
        "size-wrapping": Place("DMA-MAP-013", REFUSED, {"size": TOP - PAGE}, "no-fd"),
        "size-largest": Place("DMA-MAP-013", REFUSED, {"size": TOP - 1}, "no-fd"),
    },
    "DMA_UNMAP": {
        name: Place("DMA-UNMAP-003", REFUSED, values) for name, values in {
            "address-zero": {"address": 0},
            "address-unaligned": {"address": BASE + 1},
            "address-one-page-down": {"address": BASE - PAGE},
            "address-one-page-up": {"address": BASE + PAGE},
            "address-at-the-end": {"address": BASE + SIZE},
            "address-modulo-32-bits": {"address": BASE + (1 << 32)},
            "address-wrapping": {"address": TOP - PAGE},
            "size-zero": {"size": 0},
            "size-one-byte-less": {"size": SIZE - 1},
            "size-one-byte-more": {"size": SIZE + 1},
            "size-one-page-less": {"size": SIZE - PAGE},
            "size-one-page-more": {"size": SIZE + PAGE},
            "size-modulo-32-bits": {"size": SIZE + (1 << 32)},
            "size-to-the-top": {"size": TOP - BASE},
            "size-largest": {"size": TOP - 1},
        }.items()
    },
    "REGION_READ": {
        "offset-at-the-end": Place("RW-READ-004", REFUSED, {"offset": lambda g: g.region.size}),
        "offset-one-beyond": Place("RW-READ-004", REFUSED,
                                   {"offset": lambda g: g.region.size - g.width + 1}),
        "offset-sign": Place("RW-READ-004", REFUSED, {"offset": HIGH}),
        "offset-modulo-32-bits": Place(
            "RW-READ-004", REFUSED, {"offset": lambda g: _past(g.region.size, 1 << 32)}),
        "offset-largest": Place("RW-READ-005", REFUSED, {"offset": TOP - 1}),
        "offset-wrapping": Place("RW-READ-005", REFUSED, {"offset": lambda g: TOP - g.width}),
        "offset-unaligned": Place("RW-READ-012", EITHER, {"offset": 1}),
    },
    "REGION_WRITE": {
        name: Place("RW-WRITE-003", REFUSED, {"offset": offset}) for name, offset in {
            "offset-at-the-end": lambda g: g.region.size,
            "offset-one-beyond": lambda g: g.region.size - g.width + 1,
            "offset-sign": HIGH,
            "offset-modulo-32-bits":
                lambda g: g.store.offset + _past(g.region.size, 1 << 32),
            "offset-largest": TOP - 1,
            "offset-wrapping": lambda g: TOP - g.width,
        }.items()
    },
}


def places(row: Command) -> Cell:
    """OFFSET, IOVA and SIZE at the end, beyond it, past 64 bits, zero and unaligned."""
    if row.name not in PLACES:
        return "it names no place"
    return [
        Shape(row.name, name, (one.covers,), one.outcomes, one.change, one.variant,
              flat="terabyte" in name or "sign" in name)
        for name, one in PLACES[row.name].items()
    ]


# ---- descriptors ----


def _beyond_the_limit(good: Good) -> int:
    return min(good.max_fds + 1, 253)


def _irq_descriptors(row: Command) -> list[Shape]:
    def two(message: Message, good: Any) -> Message:
        return message.replace(count=2)

    return [
        Shape(row.name, "surplus-descriptor", ("IRQ-SET-018",), EITHER, attach=1),
        Shape(row.name, "surplus-descriptors", ("IRQ-SET-018",), EITHER, attach=2),
        Shape(row.name, "missing-descriptor", ("IRQ-SET-018",), EITHER, two, needs=("irq2",)),
        Shape(row.name, "none-with-a-descriptor", ("IRQ-SET-017",), EITHER, variant="none",
              attach=1),
        Shape(row.name, "bool-with-a-descriptor", ("IRQ-SET-017",), EITHER, variant="bool",
              attach=1),
        Shape(row.name, "descriptors-beyond-the-limit", ("FD-PASS-005",), ANY,
              attach=_beyond_the_limit),
    ]


def descriptors(row: Command) -> Cell:
    """More descriptors than the command takes, or fewer, or more than the server takes."""
    if row.name == "DEVICE_SET_IRQS":
        return _irq_descriptors(row)
    covers = "FD-PASS-004" if row.request_fds else "FD-PASS-003"
    outcomes = ANY if row.name == "VERSION" else EITHER
    cells = [
        Shape(row.name, "surplus-descriptor", (covers,), outcomes, attach=1),
        Shape(row.name, "surplus-descriptors", (covers,), outcomes, attach=2),
    ]
    if row.name != "VERSION":
        cells.append(Shape(row.name, "descriptors-beyond-the-limit", ("FD-PASS-005",), ANY,
                           attach=_beyond_the_limit))
    return cells


# ---- the wrong time ----


def state(row: Command) -> Cell:
    """Before the negotiation, and for VERSION after it."""
    if row.name == "VERSION":
        return [Shape(row.name, "twice", ("VER-NEG-011",), ANY)]
    return [Shape(row.name, "before-the-negotiation", ("VER-NEG-002",), ENDED,
                  needs=("reconnect",))]


KINDS: tuple[Callable[[Command], Cell], ...] = (
    cut, longer, argsz, reserved, flags, index, ranges, lengths, places, descriptors, state,
)
ROWS = [row for row in COMMANDS.values() if not row.to_client]
GRID: dict[tuple[str, str], Cell] = {
    (row.name, kind.__name__): kind(row) for row in ROWS for kind in KINDS
}


def needs_of(shape: Shape) -> tuple[str, ...]:
    """The features without which there is no good message, or no such shape."""
    return (*NEEDS[shape.command], *shape.needs)


def select(*kinds: str, version: bool = False) -> list[Shape]:
    """The shapes of these kinds (of all of them if none is named) but for those of VERSION, or
    only those."""
    return [
        shape for (command, kind), cell in GRID.items() if not isinstance(cell, str)
        for shape in cell
        if (command == "VERSION") == version and (not kinds or kind in kinds)
    ]
