# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DEVICE_GET_REGION_INFO.

The description of each region, its capabilities, and what the descriptor that comes with it maps.
Cases that store through a mapping use the last words of each part, and put back what was there.
"""

import mmap
import os
from itertools import pairwise

import pytest

from regions import (
    CONFIG, FLAGS, STRUCTURE_SIZE, WORD, all_described, described, mappable, mapping, read,
    read_somehow, shared, windows, write,
)
from vuc import Failure, constants, covers, needs, parse, reading
from vuc.device import capability_chain, region_of

CAPS = constants.REGION_CAPS
CAP_HEADER_SIZE = 8
TYPE_SIZE = 16
SPARSE_SIZE = 16  # without its areas
AREA_SIZE = 16
CAP_VERSION = constants.LIMITS.CAP_VERSION
CONFIG_SIZES = (256, 4096)
NO_VENDOR = 0xFFFF
QUERIES = 5000
BATCH = 50


@covers("REG-INFO-001")
def test_each_region_is_described_the_same_each_time(session):
    for index, first in enumerate(all_described(session)):
        assert first.index == index
        assert described(session, index).payload == first.payload


@covers("REG-INFO-002")
@pytest.mark.parametrize("beyond", ["first", "positive", "largest"])
def test_index_beyond_the_last_region_is_refused(session, device, beyond):
    count = device.info.num_regions
    index = {"first": count, "positive": 0x7FFFFFFF, "largest": 0xFFFFFFFF}[beyond]
    refusal = session.refuse("DEVICE_GET_REGION_INFO", index=index)
    assert not refusal.fds
    assert described(session, count - 1).index == count - 1


@covers("REG-INFO-004")
def test_argsz_of_zero_is_refused_or_answered_within_it(session):
    outcome = session.outcome("DEVICE_GET_REGION_INFO", index=CONFIG, argsz=0)
    assert outcome.kind == "error" or not outcome.reply.payload
    session.barrier()


@covers("REG-INFO-004")
@pytest.mark.parametrize("field", ["flags", "cap_offset", "size", "offset"])
def test_fields_that_must_be_zero_are_refused_or_ignored(session, field):
    normal = described(session, CONFIG)
    outcome = session.outcome("DEVICE_GET_REGION_INFO", index=CONFIG, **{field: 0xFF0})
    assert outcome.kind == "error" or outcome.reply.payload == normal.payload
    assert described(session, CONFIG).payload == normal.payload


@covers("REG-INFO-005")
def test_reply_says_the_size_it_needs_whatever_argsz_says(session):
    for index, whole in enumerate(all_described(session)):
        assert len(whole.payload) == whole.argsz
        for argsz in (STRUCTURE_SIZE, STRUCTURE_SIZE + CAP_HEADER_SIZE, whole.argsz, 4096):
            reply = session.call("DEVICE_GET_REGION_INFO", index=index, argsz=argsz)
            assert reply.argsz == whole.argsz
            assert len(reply.payload) <= argsz
            if argsz >= whole.argsz:
                assert reply.payload == whole.payload


@covers("REG-INFO-006")
def test_region_that_can_not_be_mapped_comes_without_descriptor(session):
    for reply in all_described(session):
        assert reply.flags & FLAGS.MMAP or not reply.fds, reply.text()


@covers("REG-INFO-006")
@needs("mmap_region")
def test_region_that_can_be_mapped_comes_with_one_descriptor_each_time(session):
    indexes = [reply.index for reply in all_described(session) if reply.flags & FLAGS.MMAP]
    for index in indexes * 3:
        reply = described(session, index)
        assert len(reply.fds) == 1, reply.text()


def _short_sizes(whole):
    # Room for the structure alone, for a capability header, for all but one byte.
    return {STRUCTURE_SIZE, STRUCTURE_SIZE + CAP_HEADER_SIZE, whole.argsz - 1}


@covers("REG-INFO-007")
@needs("sparse_region")
def test_capabilities_that_do_not_fit_are_left_out_and_can_be_asked_for(session, device):
    for region in (region for region in device.regions if region.areas):
        whole = described(session, region.index)
        for argsz in _short_sizes(whole):
            reply = session.call("DEVICE_GET_REGION_INFO", index=region.index, argsz=argsz)
            assert (reply.argsz, reply.size) == (whole.argsz, whole.size)
            assert len(reply.payload) <= argsz
            region_of(reply)  # what cap_offset leads to, if anything, lies inside the payload
        again = session.call("DEVICE_GET_REGION_INFO", index=region.index, argsz=whole.argsz)
        assert again.payload == whole.payload
        assert len(again.fds) == 1


@covers("REG-INFO-007")
@reading("W7")
@needs("sparse_region")
def test_descriptor_comes_also_if_the_capabilities_do_not_fit(session, device):
    for region in (region for region in device.regions if region.areas):
        reply = session.call("DEVICE_GET_REGION_INFO", index=region.index, argsz=STRUCTURE_SIZE)
        assert reply.flags & FLAGS.CAPS and reply.cap_offset == 0, reply.text()
        assert len(reply.fds) == bool(reply.flags & FLAGS.MMAP)


@covers("REG-INFO-008")
@needs("mmap_region")
def test_region_can_be_mapped_with_the_access_that_its_flags_allow(session, device):
    for region, offset, size in mappable(device):
        with mapping(described(session, region.index), region, offset, size) as window:
            for at in (0, size - 1) if region.flags & FLAGS.READ else ():
                byte = window[at]
                if region.flags & FLAGS.WRITE:
                    window[at] = byte


def _patterns(region, offset):
    # Values that tell one place from the other, and both from what may have been there.
    mark = (region.index << 24 | offset >> 12 & 0xFFF000) ^ 0x5AC3
    return [number.to_bytes(WORD, "little") for number in (mark, mark ^ 0xFFFFFFFF)]


@covers("REG-INFO-009")
@needs("mmap_region")
def test_what_is_stored_through_the_mapping_is_read_by_messages(session, device):
    for region, offset, size in shared(device):
        at = size - WORD
        with mapping(described(session, region.index), region, offset, size) as window:
            before = window[at:size]
            for value in _patterns(region, offset):
                window[at:size] = value
                assert read(session, region.index, offset + at, WORD) == value
            window[at:size] = before


@covers("REG-INFO-009")
@needs("mmap_region")
def test_what_is_written_by_messages_is_loaded_through_the_mapping(session, device):
    for region, offset, size in shared(device):
        at = size - 2 * WORD
        with mapping(described(session, region.index), region, offset, size) as window:
            before, behind = window[at : at + WORD], window[at + WORD : size]
            for value in _patterns(region, offset):
                write(session, region.index, offset + at, value)
                assert window[at : at + WORD] == value
                assert window[at + WORD : size] == behind
            window[at : at + WORD] = before


@covers("REG-INFO-009", "REG-INFO-013")
@needs("mmap_region")
def test_descriptors_of_two_queries_map_the_same_memory(session, device):
    region, offset, size = shared(device)[0]
    at = size - WORD
    with (
        mapping(described(session, region.index), region, offset, size) as one,
        mapping(described(session, region.index), region, offset, size) as other,
    ):
        before = one[at:size]
        for value in _patterns(region, offset):
            one[at:size] = value
            assert other[at:size] == value
        one[at:size] = before


@covers("REG-INFO-009")
@needs("mmap_region")
def test_mapping_and_messages_show_the_same_bytes(session, device):
    for region, offset, size in mappable(device, FLAGS.READ):
        with mapping(described(session, region.index), region, offset, size) as window:
            for at in (0, size // 2 & ~7, size - WORD):
                message = read(session, region.index, offset + at, WORD)
                assert message == window[at : at + WORD], f"region {region.index} at {offset + at}"


@covers("REG-INFO-010")
@needs("readable_region")
def test_each_region_with_the_read_flag_can_be_read(session, device):
    for region in (region for region in device.regions if region.readable):
        starts = [offset for offset, _ in windows(region)] if region.mappable else [0]
        found = [read_somehow(session, region, offset) for offset in starts]
        assert None not in found, f"region {region.index} refuses all widths"


@covers("REG-INFO-010")
def test_each_region_that_is_not_empty_can_be_read_or_written(session):
    for reply in all_described(session):
        assert not reply.size or reply.flags & (FLAGS.READ | FLAGS.WRITE), reply.text()


@covers("REG-INFO-010")
@needs("store")
def test_region_that_stores_has_both_flags(session, device):
    old = device.store.read(session)
    device.store.write(session, old)
    assert device.store.read(session) == old
    both = FLAGS.READ | FLAGS.WRITE
    assert described(session, device.store.region).flags & both == both


@covers("REG-INFO-011")
def test_caps_flag_and_cap_offset_say_whether_there_are_capabilities(session):
    for reply in all_described(session):
        if reply.flags & FLAGS.CAPS:
            last = reply.argsz - CAP_HEADER_SIZE
            assert STRUCTURE_SIZE <= reply.cap_offset <= last, reply.text()
        else:
            assert (reply.argsz, reply.cap_offset) == (STRUCTURE_SIZE, 0), reply.text()


@covers("REG-INFO-012")
def test_configuration_space_is_region_7(session):
    reply = described(session, CONFIG)
    both = FLAGS.READ | FLAGS.WRITE
    assert reply.size in CONFIG_SIZES
    assert reply.flags & both == both
    assert int.from_bytes(read(session, CONFIG, 0, 2), "little") != NO_VENDOR


def _identities(session, index, count):
    # (device, inode) of the descriptors of `count` queries, each closed at once.
    found = set()
    for _ in range(count // BATCH):
        asked = [session.send("DEVICE_GET_REGION_INFO", index=index) for _ in range(BATCH)]
        for sent in asked:
            for fd in session.success(sent).fds:
                status = os.fstat(fd.fileno())
                found.add((status.st_dev, status.st_ino))
                fd.close()
    return found


@covers("REG-INFO-013")
@needs("mmap_region")
def test_repeated_queries_hand_out_the_same_file(session, device):
    region = mappable(device)[0][0]
    assert len(_identities(session, region.index, BATCH)) == 1


@covers("REG-INFO-013")
@needs("mmap_region", "proc")
def test_repeated_queries_leave_no_descriptor_in_the_server(session, target, device):
    region = mappable(device)[0][0]
    _identities(session, region.index, BATCH)
    before = target.resources().fds
    _identities(session, region.index, QUERIES)
    session.barrier()
    more = target.resources().fds - before
    if more > 0:
        raise Failure("server.leak-fds", f"{QUERIES} queries leave {more} descriptors behind")


# ---- capabilities ----


def _capabilities(session, *numbers):
    # (reply, header, offset) of each capability with one of these ids; skips where there is none.
    found = [
        (reply, header, at)
        for reply in all_described(session)
        for header, at in capability_chain(reply)
        if not numbers or header.id in numbers
    ]
    if not found:
        pytest.skip("needs: a region with such a capability")
    return found


@covers("REG-CAP-001")
def test_capabilities_form_a_chain_inside_the_payload(session):
    for reply, header, at in _capabilities(session):
        last = reply.argsz - CAP_HEADER_SIZE
        assert len(reply.payload) == reply.argsz
        assert STRUCTURE_SIZE <= at <= last
        assert header.next == 0 or STRUCTURE_SIZE <= header.next <= last


@covers("REG-CAP-002")
@needs("sparse_region")
def test_sparse_capability_has_its_version_and_all_its_areas(session):
    for reply, header, at in _capabilities(session, CAPS.SPARSE_MMAP):
        sparse = parse("CAP_SPARSE_MMAP", reply.payload, at)
        assert header.version == CAP_VERSION
        assert sparse.reserved == 0
        assert sparse.nr_areas >= 1
        end = at + SPARSE_SIZE + AREA_SIZE * sparse.nr_areas
        assert end <= (header.next if header.next > at else len(reply.payload))


@covers("REG-CAP-003")
@needs("sparse_region")
def test_sparse_areas_are_pages_inside_the_region_that_do_not_overlap(session, device):
    for region in (region for region in device.regions if region.areas):
        for offset, size in region.areas:
            assert size > 0
            assert offset % mmap.PAGESIZE == size % mmap.PAGESIZE == 0
            assert offset + size <= region.size
        for (offset, size), (following, _) in pairwise(sorted(region.areas)):
            assert offset + size <= following
        assert described(session, region.index).size == region.size


@covers("REG-CAP-003")
@needs("sparse_region")
def test_each_sparse_area_is_mapped_at_the_base_offset_plus_its_own(session, device):
    sparse = [(region, *area) for region, *area in mappable(device) if region.areas]
    for region, offset, size in sparse:
        reply = described(session, region.index)
        with mapping(reply, region, offset, size) as window:
            if region.readable:
                assert window[:WORD] == read(session, region.index, offset, WORD)


@covers("REG-CAP-003")
@needs("sparse_region")
def test_each_sparse_area_has_memory_of_its_own(session, device):
    areas = [(region, *area) for region, *area in shared(device) if region.areas]
    if len(areas) < 2:
        pytest.skip("needs: two sparse areas that can be read and written")
    ends = {(region, offset + size - WORD): n for n, (region, offset, size) in enumerate(areas)}
    before = {}
    for (region, at), n in ends.items():
        before[region, at] = read(session, region.index, at, WORD)
        write(session, region.index, at, bytes([n + 1] * WORD))
    for region, offset, size in areas:
        with mapping(described(session, region.index), region, offset, size) as window:
            mark = ends[region, offset + size - WORD] + 1
            assert window[size - WORD : size] == bytes([mark] * WORD)
    for (region, at), old in before.items():
        write(session, region.index, at, old)


@covers("REG-CAP-004")
@needs("sparse_region")
def test_region_with_sparse_areas_can_be_mapped(session):
    for reply, _, _ in _capabilities(session, CAPS.SPARSE_MMAP):
        assert reply.flags & FLAGS.MMAP, reply.text()


@covers("REG-CAP-005")
@needs("device_regions")
def test_region_beyond_the_pci_indexes_says_its_type(session):
    for reply in all_described(session)[constants.REGION_INDEX.NUM :]:
        assert reply.flags & FLAGS.CAPS, reply.text()
        types = [(h, at) for h, at in capability_chain(reply) if h.id == CAPS.TYPE]
        assert len(types) == 1, reply.text()
        header, at = types[0]
        assert header.version == CAP_VERSION
        assert at + TYPE_SIZE <= len(reply.payload)
