# SPDX-License-Identifier: BSD-3-Clause
"""viommu: attribute words, and a small vIOMMU against a session that takes everything."""

from errno import EACCES
from types import SimpleNamespace

import pytest

from vuc.message import message, structure
from vuc.schema import COMMANDS, EXTENSION, constants, pasid_of, pasid_word
from vuc.viommu import (
    CODE, EVERYTHING, NO_PASID, PAGE, PERM, POLICIES, Viommu, group_of, halves, widened, word,
)

BASE = 0x100000


class Session:
    """Takes what is sent; the reply to a DMA_UNMAP of many says `size`."""

    def __init__(self):
        self.sent = []
        self.refused = []
        self.size = 0

    def send(self, what, fds=(), **fields):
        """A message or its name."""
        one = message(what, **fields) if isinstance(what, str) else what
        self.sent.append((one.name, one.values, one.no_reply))
        self.payload = one.payload
        return one

    def success(self, sent):
        """Of whatever was sent."""
        return SimpleNamespace(size=self.size, text=lambda: "reply")

    def call(self, what, fds=(), **fields):
        """Both."""
        return self.success(self.send(what, fds, **fields))

    def refuse(self, what, fds=(), *, errno=None, **fields):
        """Whatever is sent is refused."""
        self.refused.append((self.send(what, fds, **fields), errno))

    def failure(self, code, text="", **words):
        """What is raised where a reply is wrong."""
        return AssertionError(code)

    def names(self):
        """What was sent, by name."""
        return [name for name, *_ in self.sent]


@pytest.fixture
def iommu():
    return Viommu(Session())


def request_of(*ranges, cookie=7, pasid=None, translate=False):
    attr = pasid_word(pasid) | (constants.PAGE_REQUEST_ATTR.TRANSLATE_ONLY if translate else 0)
    data = b"".join(structure("PAGE_RANGE", address=address, size=size, perm=perm)
                    for address, size, perm in ranges)
    return SimpleNamespace(cookie=cookie, prgi=3, nr=len(ranges), attr=attr, data=data)


# ---- the attribute word ----


def test_commands_of_the_extension_stand_apart():
    assert set(EXTENSION) == {"PAGE_REQUEST", "PAGE_RESPONSE"}
    assert not set(EXTENSION) & set(COMMANDS)
    assert len(message("PAGE_RESPONSE", cookie=7, code="INVALID").payload) == 8


@pytest.mark.parametrize("text, value", [
    ("READ|WRITE", 3), ("READ|PASID=0", 0x101), ("READ|WRITE|REPLACE|PASID=3", 0x3303),
    ("PASID=1048575", 0xFFFFF100), ("READ|0x10", 0x11)])
def test_attribute_word_is_read_and_shown(text, value):
    field = COMMANDS["DMA_MAP"].request["flags"]
    assert field.number(text) == value
    assert field.number(field.text(value)) == value


def test_attribute_word_of_an_unmap_has_its_own_names():
    field = COMMANDS["DMA_UNMAP"].request["flags"]
    assert field.number("RANGE|PASID=3") == 0x3300
    assert field.text(0x3300) == "RANGE|PASID=3"
    assert "flags" not in message("DMA_UNMAP", address=1, size=2).text()
    with pytest.raises(ValueError):
        field.number("REPLACE")


def test_word_and_halves():
    assert word("ALL") == "ALL"
    assert word("ALL", 0) == "ALL|PASID=0"
    assert halves(widened(0x1000, 5)) == (0x1000, 5)
    assert halves(widened(0x1000, None)) == (0x1000, None)
    assert pasid_of(pasid_word(0)) == 0


def test_group_has_its_ranges():
    group = group_of(request_of((BASE, 2 * PAGE, PERM.READ), (0, PAGE, 3), pasid=9, translate=True))
    assert (group.cookie, group.prgi, group.pasid, group.translate) == (7, 3, 9, True)
    assert group.ranges == ((BASE, 2 * PAGE, PERM.READ), (0, PAGE, 3))
    assert group.pages == 3


# ---- what the server is told ----


def test_map_replace_and_unmap_send_one_message_each(iommu):
    one = iommu.map(BASE, pasid=3)
    new = iommu.replace(one, flags="READ")
    iommu.unmap(new)
    flags = [values["flags"] for _, values, _ in iommu.session.sent]
    assert iommu.session.names() == ["DMA_MAP", "DMA_MAP", "DMA_UNMAP"]
    assert flags == [0x3103, 0x3301, 0x3100]
    assert iommu.mapped == {3: {}}


def test_removal_has_to_say_what_was_mapped(iommu):
    for number in range(4):
        iommu.map(BASE + number * PAGE, pasid=3)
    iommu.map(BASE)
    iommu.session.size = 2 * PAGE
    assert iommu.invalidate(BASE, 2 * PAGE, 3) == 2 * PAGE
    assert iommu.end(3) == 2 * PAGE
    with pytest.raises(AssertionError, match="reply.field"):
        iommu.end(3)
    iommu.session.size = PAGE
    assert iommu.invalidate() == PAGE


def test_whole_space_is_all_ones(iommu):
    iommu.map(0, 1 << 63)
    iommu.map(1 << 63, 1 << 63)
    iommu.session.size = EVERYTHING
    assert iommu.invalidate() == EVERYTHING


# ---- page requests ----


def responses(iommu):
    """Codes that were sent."""
    return [values["code"] for name, values, _ in iommu.session.sent if name == "PAGE_RESPONSE"]


@pytest.mark.parametrize("policy, maps, codes", [
    ("at-once", 2, [CODE.SUCCESS]), ("partial", 1, [CODE.SUCCESS]), ("empty", 0, [CODE.SUCCESS]),
    ("invalid", 0, [CODE.INVALID]), ("failure", 0, [CODE.FAILURE]), ("never", 0, []),
    ("late", 0, []), ("twice", 2, [CODE.SUCCESS, CODE.SUCCESS])])
def test_policy_says_what_becomes_of_a_group(iommu, policy, maps, codes):
    for number in range(2):
        iommu.enter(BASE + number * PAGE, pasid=3)
    iommu.requested(request_of((BASE, 2 * PAGE, PERM.WRITE), pasid=3), policy)
    assert iommu.session.names().count("DMA_MAP") == maps
    assert responses(iommu) == codes
    assert len(iommu.session.refused) == (policy == "twice")
    assert set(POLICIES) >= {policy}
    iommu.answer_late()
    assert responses(iommu) == (codes or [CODE.SUCCESS] * (policy == "late"))


def test_maps_come_before_the_response_and_want_no_reply(iommu):
    iommu.enter(BASE)
    iommu.requested(request_of((BASE, PAGE, PERM.READ)))
    assert [(name, silent) for name, _, silent in iommu.session.sent] == \
        [("DMA_MAP", True), ("PAGE_RESPONSE", False)]


def test_page_that_the_tables_have_with_another_right_is_no_answer(iommu):
    iommu.enter(BASE, flags="READ")
    iommu.requested(request_of((BASE, PAGE, PERM.WRITE)))
    assert iommu.session.names() == ["PAGE_RESPONSE"]


def test_mapping_without_the_right_is_replaced(iommu):
    iommu.map(BASE, flags="READ", offset=0)
    iommu.enter(BASE)
    iommu.requested(request_of((BASE, PAGE, PERM.WRITE)))
    assert [values.get("flags") for _, values, _ in iommu.session.sent] == [1, 0x203, None]


def test_what_the_tables_do_not_have_is_invalid(iommu):
    iommu.requested(request_of((BASE, PAGE, PERM.READ), pasid=3))
    assert responses(iommu) == [CODE.INVALID]


def test_marker_is_no_group(iommu):
    iommu.requested(request_of(cookie=0, pasid=9))
    assert iommu.markers == [9]
    assert not iommu.requests
    assert not iommu.session.sent


# ---- the poc dialect ----


@pytest.fixture
def poc():
    return Viommu(Session(), poc=True)


def poc_request(address=BASE, perm=PERM.WRITE, pasid=NO_PASID):
    data = structure("POC_PAGE", address=address, count=PAGE, flags=perm, pasid=pasid)
    return SimpleNamespace(data=data)


def test_pasid_of_a_count_has_no_bit_that_says_so():
    assert halves(5 << 44 | PAGE, poc=True) == (PAGE, 5)
    assert halves(PAGE, poc=True) == (PAGE, None)


@pytest.mark.parametrize("pasid, space", [(NO_PASID, None), (0, 0), (3, 3)])
def test_request_is_answered_by_what_it_says(poc, pasid, space):
    poc.enter(BASE, pasid=space)
    group = poc.requested(poc_request(pasid=pasid))
    assert (group.pasid, group.ranges) == (space, ((BASE, PAGE, PERM.WRITE),))
    assert poc.session.names() == ["DMA_MAP", "command 100"]
    assert poc.session.payload == poc_request(pasid=pasid).data


def test_page_that_is_not_there_is_refused_by_its_rights(poc):
    poc.requested(poc_request())
    assert poc.session.payload == poc_request(perm=0).data
    assert [errno for _, errno in poc.session.refused] == [EACCES]


def test_mapping_without_the_right_is_mapped_again(poc):
    poc.map(BASE, flags="READ", offset=0)
    poc.enter(BASE)
    poc.requested(poc_request())
    assert [values.get("flags") for _, values, _ in poc.session.sent] == [1, 3, None]
