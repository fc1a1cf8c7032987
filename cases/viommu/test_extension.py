# SPDX-License-Identifier: BSD-3-Clause
"""The vIOMMU extension: its capability, its attribute word, and what holds without it; row J10 of
the catalogue (README.md)."""

from errno import EINVAL, EOPNOTSUPP

import pytest
from mapping import BASE, PAGE, RW, SIZE, assert_nothing_mapped, exchange_all, map_range
from spaces import P1, P2, offer, space_session

from vuc import constants, covers, in_each_dialect, message, needs, unknown
from vuc.schema import EXTENSION, pasid_word
from vuc.session import DEFAULT, VIOMMU
from vuc.viommu import word

NUMBERS = ("pasid_bits", "max_pasids", "page_requests")
SWITCHES = ("unmap_range", "replace", "backing")
BITS = constants.LIMITS.PASID_BITS
PROPOSALS = {
    "all": {},
    "less": {"pasid_bits": 4, "max_pasids": 7, "page_requests": 3, "address_bits": 48},
    "more-spaces-than-pasids": {"pasid_bits": 3, "max_pasids": 1000},
    "wide-pasids": {"pasid_bits": 64, "max_pasids": 1 << 40},
    "no-spaces": {"pasid_bits": 8, "max_pasids": 0},
    "no-bits": {"pasid_bits": 0, "max_pasids": 8},
    "version-alone": dict.fromkeys((*NUMBERS, *SWITCHES)),
    "all-false": dict.fromkeys(SWITCHES, False),
    "later-version": {"version": 7},
}
WRONG = {
    "no-object": True, "array": [], "version-is-text": {"version": "1"},
    "version-is-negative": {"version": -1}, "number-is-true": {"version": 1, "pasid_bits": True},
    "switch-is-1": {"version": 1, "replace": 1}, "number-is-a-fraction":
    {"version": 1, "page_requests": 1.5}, "switch-is-null": {"version": 1, "backing": None},
}


def assert_refused(session, name, flags, **fields):
    """The attribute word is refused with EINVAL."""
    place = {"address": BASE, "size": SIZE, **fields}
    session.refuse(message(name, flags=flags, **place), errno=EINVAL)


def assert_untouched(session, *spaces):
    """BASE is mapped in these spaces and in no other that the cases use."""
    for pasid in (None, 0, P1, P2):
        mapped = session.outcome("DMA_UNMAP", flags=word("", pasid), address=BASE, size=SIZE)
        assert (mapped.kind == "success") == (pasid in spaces), f"space of PASID {pasid}"


# ---- negotiation ----


@covers("VE-NEG-001")
@needs("viommu")
@pytest.mark.parametrize("proposal", [None, {}, {"version": 0}, {"pasid_bits": 20}],
                         ids=["nothing", "empty", "version-0", "no-version"])
def test_capability_is_left_out_unless_a_version_is_proposed(connect, proposal):
    session = connect(capabilities=DEFAULT if proposal is None else {**DEFAULT, "viommu": proposal})
    assert "viommu" not in session.negotiated


@covers("VE-NEG-002", "VE-NEG-003", "VE-NEG-004")
@needs("viommu")
@pytest.mark.parametrize("changes", PROPOSALS.values(), ids=list(PROPOSALS))
def test_answer_is_at_most_the_proposal(connect, changes):
    proposed = offer(**changes)
    answer = connect(capabilities=proposed).viommu
    assert answer.get("version") == 1
    for name in NUMBERS:
        assert 0 <= answer.get(name, 0) <= proposed["viommu"].get(name, 0), name
    assert answer.get("address_bits", 64) <= proposed["viommu"].get("address_bits", 64)
    for name in SWITCHES:
        assert answer.get(name, False) in (False, proposed["viommu"].get(name, False)), name
    bits, spaces = answer.get("pasid_bits", 0), answer.get("max_pasids", 0)
    assert bits <= BITS and bool(bits) == bool(spaces) and spaces <= 1 << bits


@covers("VE-NEG-005")
@needs("viommu")
@pytest.mark.parametrize("value", WRONG.values(), ids=list(WRONG))
def test_member_of_another_type_is_refused(connect, value):
    connection = connect(version=False)
    connection.outcome(connection.version(capabilities={**DEFAULT, "viommu": value}),
                       allowed=("error", "close"))


@covers("VE-NEG-009")
@needs("viommu", "dma_maps", "pasid")
def test_as_many_ranges_as_announced_are_mapped_over_all_spaces(connect):
    session = connect(capabilities=VIOMMU)
    most = session.limits.max_dma_maps
    spaces = (None, P1, P2)
    for index, pasid in enumerate(spaces):
        pages = range(index, most, len(spaces))
        exchange_all(session, "DMA_MAP", (BASE + page * PAGE for page in pages), size=PAGE,
                     flags=word(RW, pasid))


@covers("VE-NEG-009", "VE-SPACE-003")
@needs("viommu", "dma_maps", "pasid")
def test_as_many_spaces_as_announced_are_made(connect):
    session = connect(capabilities=VIOMMU)
    for pasid in range(session.viommu["max_pasids"]):
        map_range(session, flags=word(RW, pasid))


# ---- J10: what was not negotiated ----


MEMBERS = {"pasid": ("DMA_MAP", word(RW, P1)), "unmap-pasid": ("DMA_UNMAP", word("", P1)),
           "replace": ("DMA_MAP", f"{RW}|REPLACE"), "backing": ("DMA_MAP", f"{RW}|BACKING"),
           "indirect": ("DMA_MAP", f"{RW}|INDIRECT"), "range": ("DMA_UNMAP", "RANGE"),
           "unmap-backing": ("DMA_UNMAP", "BACKING")}


@covers("VE-NEG-006", "VE-NEG-001")
@needs("viommu", "dma_maps")
@pytest.mark.parametrize("name, flags", MEMBERS.values(), ids=list(MEMBERS))
def test_j10_bit_of_a_member_that_was_not_negotiated_is_refused(connect, name, flags):
    session = connect(capabilities=offer(**dict.fromkeys((*NUMBERS, *SWITCHES))))
    if name == "DMA_UNMAP" or "REPLACE" in flags:
        map_range(session)
    assert_refused(session, name, flags)
    assert_untouched(session, *([None] if name == "DMA_UNMAP" or "REPLACE" in flags else []))


@covers("VE-RESP-012")
@needs("viommu", "page_requests")
def test_j10_page_response_is_not_supported_unless_requests_were_negotiated(connect):
    session = connect(capabilities=offer(page_requests=0))
    session.refuse("PAGE_RESPONSE", cookie=1, errno=EOPNOTSUPP)
    session.barrier()


@covers("VE-NEG-007", "HDR-UNK-001")
@pytest.mark.parametrize("number", [100, *(row.number for row in EXTENSION.values())])
def test_j10_command_of_the_extension_is_unknown_without_it(session, number):
    session.refuse(unknown(number, bytes(24)))
    session.barrier()


@covers("VE-NEG-007")
@needs("dma_maps")
@pytest.mark.parametrize("flags", [pasid_word(P1), *vars(constants.DMA_MAP_ATTR).values()], ids=hex)
def test_j10_map_with_bits_of_the_extension_is_what_its_reply_tells_without_it(session, flags):
    bits = constants.DMA_MAP_FLAGS
    done = session.outcome("DMA_MAP", flags=flags | bits.READ | bits.WRITE, address=BASE, size=SIZE)
    if done.kind == "success":
        session.call("DMA_UNMAP", address=BASE, size=SIZE)
    assert_nothing_mapped(session)


@covers("VE-NEG-007")
@needs("viommu", "dma_maps", "pasid")
def test_j10_version_without_reply_negotiates_no_extension(connect):
    session = connect(version=False)
    begun = session.outcome(session.version(capabilities=VIOMMU).replace(no_reply=True),
                            allowed=("success", "error", "silence", "close"))  # fmt: skip
    if begun.kind == "close":
        return
    done = session.outcome("DMA_MAP", allowed=("success", "error", "close"), flags=word(RW, P1),
                           address=BASE, size=SIZE)  # fmt: skip
    if done.kind == "success":
        session.call("DMA_UNMAP", address=BASE, size=SIZE)


# ---- the attribute word ----


@covers("VE-ATTR-002", "VE-MAP-006")
@needs("viommu", "dma_maps")
@pytest.mark.parametrize("bit", range(2, 8))
def test_reserved_bit_of_a_map_is_refused(connect, bit):
    session = connect(capabilities=VIOMMU)
    rights = constants.DMA_MAP_FLAGS.READ | constants.DMA_MAP_FLAGS.WRITE
    assert_refused(session, "DMA_MAP", rights | 1 << bit)
    assert_untouched(session)


@covers("VE-ATTR-002")
@needs("viommu", "dma_maps")
@pytest.mark.parametrize("bit", [0, *range(2, 8), 11])
def test_reserved_bit_of_an_unmap_is_refused(connect, bit):
    session = connect(capabilities=VIOMMU)
    map_range(session)
    assert_refused(session, "DMA_UNMAP", 1 << bit)
    assert_untouched(session, None)


@in_each_dialect
@covers("VE-ATTR-004", "VE-MAP-006")
@needs("viommu", "dma_maps", "pasid")
@pytest.mark.parametrize("name, flags", [("DMA_MAP", 3), ("DMA_UNMAP", 0)], ids=["map", "unmap"])
@pytest.mark.parametrize("pasid", [1, P1, (1 << BITS) - 1])
def test_d04_bits_of_a_pasid_need_pasid_valid(connect, name, flags, pasid):
    session = space_session(connect)
    map_range(session, flags=word(RW, P1))
    if name == "DMA_UNMAP":
        map_range(session)
    assert_refused(session, name, flags | pasid_word(pasid) & ~constants.ATTR.PASID_VALID)
    assert_untouched(session, P1, *([None] if name == "DMA_UNMAP" else []))


@covers("VE-ATTR-005", "VE-SEC-005", "VE-MAP-006")
@needs("viommu", "dma_maps", "pasid")
@pytest.mark.parametrize("name, names", [("DMA_MAP", RW), ("DMA_UNMAP", ""), ("DMA_UNMAP", "ALL")],
                         ids=["map", "unmap", "unmap-all"])
@pytest.mark.parametrize("bits", [1, 4, 19])
def test_d03_pasid_of_more_bits_is_refused(connect, name, names, bits):
    session = connect(capabilities=offer(pasid_bits=bits))
    bits = session.viommu["pasid_bits"]
    map_range(session, flags=word(RW, 0))
    place = {"address": 0, "size": 0} if names == "ALL" else {}
    for pasid in (1 << bits, (1 << bits) + 1, (1 << BITS) - 1):
        assert_refused(session, name, word(names, pasid), **place)
    map_range(session, flags=word(RW, (1 << bits) - 1))
    assert_untouched(session, 0, *({P1, P2} & {(1 << bits) - 1}))
