# SPDX-License-Identifier: BSD-3-Clause
"""A small vIOMMU: the tables of a guest, one for each PASID, and what of them the server was told.

    iommu = Viommu(session, memory)
    iommu.enter(0x5000, offset=0x2000, pasid=3)    # the guest's tables have it
    iommu.map(0x5000, pasid=3)                     # and now the server
    iommu.invalidate(0, 0x200000, pasid=3)         # takes whatever was mapped there away again
    iommu.requested(request, "at-once")            # the service of page requests

`enter` fills the tables and says nothing to the server; `map`, `replace`, `unmap`, `invalidate` and
`end` send one message each and keep the books of what is mapped, by which they check the replies.
The service maps what the tables have and responds, as its policy says; `requests` are the groups
that came and `markers` the PASIDs of stop markers, in order. `session` is a Connection, or what
sends and takes like one. Addresses and sizes are bytes; PASID None is the space without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from errno import EACCES, ENOENT
from typing import Any

from .exchange import Request, Sent
from .message import Message, message, parse, structure, unknown
from .schema import PASID_SHIFT, STRUCTURES, constants, pasid_of, pasid_word

PAGE = 0x1000
RW = "READ|WRITE"
PERM = constants.PAGE_PERM
CODE = constants.PAGE_CODE
EVERYTHING = (1 << 64) - 1  # size of what was removed, where it is the whole space
WHOLE = 1 << 64
POC_PAGE_REQUEST = 100  # of both sides, in the poc dialect
NO_PASID = (1 << 32) - 1  # there
HALF = 32  # bits of count, the upper half of which is the attribute word


@dataclass(frozen=True)
class Entry:
    """One row of a table: where in the memory it leads, and with which rights. memory None: by
    messages."""

    address: int
    size: int = PAGE
    offset: int = 0
    flags: str = RW
    memory: Any = None
    pasid: int | None = None

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size

    def allows(self, perm: int) -> bool:
        """Has it all rights of a PAGE_PERM?"""
        return not (perm & PERM.READ and "READ" not in self.flags
                    or perm & PERM.WRITE and "WRITE" not in self.flags)


@dataclass(frozen=True)
class Group:
    """One page request: its fields, its ranges as (address, size, perm), and the message."""

    cookie: int
    prgi: int
    pasid: int | None
    translate: bool
    ranges: tuple[tuple[int, int, int], ...]
    request: Request

    @property
    def pages(self) -> int:
        """What it takes of the credit."""
        return sum(size for _, size, _ in self.ranges) // PAGE


def group_of(request: Request) -> Group:
    """What a PAGE_REQUEST asks for; without ranges it is a stop marker."""
    size = STRUCTURES["PAGE_RANGE"].request_size
    rows = [parse("PAGE_RANGE", request.data, i * size) for i in range(request.nr)]
    ranges = tuple((row.address, row.size, row.perm) for row in rows)
    translate = bool(request.attr & constants.PAGE_REQUEST_ATTR.TRANSLATE_ONLY)
    return Group(request.cookie, request.prgi, pasid_of(request.attr), translate, ranges, request)


def poc_group_of(request: Request) -> Group:
    """The same in the poc dialect, where a request has no name but what it asks for."""
    page = parse("POC_PAGE", request.data)
    pasid = None if page.pasid == NO_PASID else page.pasid
    return Group(0, 0, pasid, False, ((page.address, page.count, page.flags),), request)


def word(names: str, pasid: int | None = None) -> str:
    """The names of an attribute word and its PASID, as a field takes them."""
    return names if pasid is None else f"{names}|PASID={pasid}"


def halves(count: int, poc: bool = False) -> tuple[int, int | None]:
    """Bytes and PASID of the count of a DMA_READ or DMA_WRITE; in the poc dialect there is no bit
    that says whether there is one, and PASID 0 is none."""
    attr = count >> HALF
    return count & ((1 << HALF) - 1), attr >> PASID_SHIFT or None if poc else pasid_of(attr)


def widened(count: int, pasid: int | None) -> int:
    """The count of a DMA_READ or DMA_WRITE with the PASID in its upper half."""
    return count | pasid_word(pasid) << HALF


class Viommu:
    """See the head of the file. `poc`: it speaks the poc dialect, which has no REPLACE, no
    invalidate() and no stop markers."""

    def __init__(self, session: Any, memory: Any = None, poc: bool = False):
        self.session = session
        self.memory = memory
        self.poc = poc
        self.tables: dict[int | None, dict[int, Entry]] = {}
        self.mapped: dict[int | None, dict[int, Entry]] = {}
        self.requests: list[Group] = []
        self.markers: list[int | None] = []
        self.late: list[Group] = []
        self.policy = "at-once"

    # ---- the guest's tables ----

    def enter(self, address: int, size: int = PAGE, *, offset: int = 0, flags: str = RW,
              pasid: int | None = None, memory: Any = None) -> Entry:
        """The guest maps it: from now on the tables have it, and the server knows nothing."""
        one = Entry(address, size, offset, flags, memory or self.memory, pasid)
        self.tables.setdefault(pasid, {})[address] = one
        return one

    def found(self, address: int, pasid: int | None = None) -> Entry | None:
        """The row of the tables that the address lies in."""
        rows = self.tables.get(pasid, {}).values()
        return next((one for one in rows if one.address <= address < one.end), None)

    # ---- what the server is told ----

    def message(self, one: Entry, names: str = "", **header: Any) -> Message:
        """The DMA_MAP of a row; `names` are further bits of its attribute word."""
        flags = word(f"{one.flags}|{names}" if names else one.flags, one.pasid)
        return message("DMA_MAP", flags=flags, offset=one.offset, address=one.address,
                       size=one.size, **header)

    def send(self, one: Entry, names: str = "", **header: Any) -> Sent:
        """Send the DMA_MAP of a row, and take it as mapped."""
        fds = [] if one.memory is None else [one.memory]
        self.mapped.setdefault(one.pasid, {})[one.address] = one
        return self.session.send(self.message(one, names, **header), fds)

    def map(self, address: int, size: int = PAGE, *, pasid: int | None = None,
            **place: Any) -> Entry:
        """Map what the tables have at this address, or with `place` as enter() takes it what is
        entered now. It has to succeed."""
        rows = self.tables.get(pasid, {})
        one = rows.get(address) if not place else None
        one = one or self.enter(address, size, pasid=pasid, **place)
        self.session.success(self.send(one))
        return one

    def replace(self, one: Entry, **changes: Any) -> Entry:
        """Give a mapping other rights or another place, in one step; it has to succeed."""
        place = {"offset": one.offset, "flags": one.flags, "memory": one.memory, **changes}
        new = self.enter(one.address, one.size, pasid=one.pasid, **place)
        self.session.success(self.send(new, "REPLACE"))
        return new

    def unmap(self, one: Entry) -> None:
        """Unmap exactly this; it has to succeed."""
        self.session.call("DMA_UNMAP", flags=word("", one.pasid), address=one.address,
                          size=one.size)
        self.forget(one.pasid, one.address, one.size)

    def invalidate(self, address: int = 0, size: int = 0, pasid: int | None = None) -> int:
        """Unmap all in a range (0, 0: in the space), which has to succeed; the bytes removed,
        which have to be those that were mapped."""
        sent = self.session.send("DMA_UNMAP", flags=word("RANGE", pasid), address=address,
                                 size=size)
        return self.removed(sent, address, size or WHOLE, pasid)

    def end(self, pasid: int | None = None) -> int:
        """Unmap all of a space, which ends it if it has a PASID; as invalidate()."""
        sent = self.session.send("DMA_UNMAP", flags=word("ALL", pasid))
        return self.removed(sent, 0, WHOLE, pasid)

    def removed(self, sent: Sent, address: int, size: int, pasid: int | None) -> int:
        """The bytes that the reply to such a DMA_UNMAP says, which have to be right."""
        reply = self.session.success(sent)
        count = min(self.forget(pasid, address, size), EVERYTHING)
        if reply.size != count:
            raise self.session.failure("reply.field", sent=sent, came=reply.text(),
                                       allowed=f"size {count:#x}")
        return count

    def forget(self, pasid: int | None, address: int = 0, size: int = WHOLE) -> int:
        """It is no longer mapped there, whoever has done it; the bytes that were. The tables keep
        their rows."""
        rows = self.mapped.get(pasid, {})
        gone = [one for one in rows.values()
                if address <= one.address and one.end <= address + size]
        for one in gone:
            del rows[one.address]
        return sum(one.size for one in gone)

    # ---- page requests ----

    def requested(self, request: Request, policy: str | None = None) -> Group:
        """Take in a PAGE_REQUEST and do what the policy, a key of POLICIES, says."""
        group = poc_group_of(request) if self.poc else group_of(request)
        if not group.ranges:
            self.markers.append(group.pasid)
            return group
        self.requests.append(group)
        POLICIES[policy or self.policy](self, group)
        return group

    def missing(self, group: Group) -> Iterator[Entry]:
        """Rows of the tables that lie in the group and that the server does not have with the
        rights that it misses."""
        for address, size, perm in group.ranges:
            at = address
            while at < address + size:
                one = self.found(at, group.pasid)
                if one is None or not one.allows(perm):
                    at += PAGE
                    continue
                if self.mapped.get(group.pasid, {}).get(one.address) != one:
                    yield one
                at = one.end

    def serve(self, group: Group, most: int | None = None, code: int = CODE.SUCCESS) -> Sent:
        """Map at most so many of the missing rows, without replies, and respond behind them."""
        for one in list(self.missing(group))[:most]:
            there = one.address in self.mapped.get(one.pasid, {})
            self.send(one, "REPLACE" if there and not self.poc else "", no_reply=True)
        return self.respond(group, code)

    def response(self, group: Group, code: int = CODE.SUCCESS) -> Message:
        """The response to a group. In the poc dialect it is the request again, with the rights
        that are granted."""
        if not self.poc:
            return message("PAGE_RESPONSE", cookie=group.cookie, code=code)
        (address, size, perm), = group.ranges
        return unknown(POC_PAGE_REQUEST, structure(
            "POC_PAGE", address=address, count=size, flags=0 if code else perm,
            pasid=NO_PASID if group.pasid is None else group.pasid))

    def respond(self, group: Group, code: int = CODE.SUCCESS) -> Sent:
        """Send it."""
        return self.session.send(self.response(group, code))

    def finish(self, group: Group, code: int = CODE.SUCCESS) -> None:
        """Send it and take its reply, which is a success; in the poc dialect only if the rights
        are granted."""
        if self.poc and code:
            self.session.refuse(self.response(group, code), errno=EACCES)
        else:
            self.session.success(self.respond(group, code))

    def gone(self, *groups: Group) -> None:
        """Responses to these find nothing."""
        for group in groups:
            self.session.refuse(self.response(group), errno=ENOENT)

    def answer_late(self) -> None:
        """Serve the groups that the policy "late" has put aside, oldest first."""
        while self.late:
            self.session.success(self.serve(self.late.pop(0)))


def _at_once(iommu: Viommu, group: Group) -> None:
    if any(iommu.found(address, group.pasid) for address, _, _ in group.ranges):
        iommu.session.success(iommu.serve(group))
    else:
        iommu.finish(group, CODE.INVALID)


def _twice(iommu: Viommu, group: Group) -> None:
    iommu.session.success(iommu.serve(group))
    iommu.gone(group)


def _coded(code: int) -> Callable[[Viommu, Group], None]:
    return lambda iommu, group: iommu.finish(group, code)


# What becomes of a group. at-once: what the tables have is mapped, and it is a success, or
# invalid where they have nothing; late: it waits for answer_late(); partial: one row of them;
# empty: a success without a mapping; twice: the second response has to be refused.
POLICIES: dict[str, Callable[[Viommu, Group], None]] = {
    "at-once": _at_once,
    "late": lambda iommu, group: iommu.late.append(group),
    "partial": lambda iommu, group: iommu.session.success(iommu.serve(group, 1)) and None,
    "empty": _coded(CODE.SUCCESS),
    "invalid": _coded(CODE.INVALID),
    "failure": _coded(CODE.FAILURE),
    "never": lambda iommu, group: None,
    "twice": _twice,
}
