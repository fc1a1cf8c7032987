# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DEVICE_GET_REGION_IO_FDS.

The sub-regions that eventfds (or descriptors of the kernel's ioregion proposal) stand for. The size
of an entry follows from argsz and count, as the formula of the specification can not be meant.
"""

import os
import stat
import struct
import sys

import pytest
from mapping import eventually
from regions import read, try_read
from vuc import COMMANDS, Failure, constants, covers, needs, parse, reading
from vuc.schema import STRUCTURES
from vuc.session import DEFAULT

COMMAND = "DEVICE_GET_REGION_IO_FDS"
FIXED = COMMANDS[COMMAND].reply_size
ENTRY_SIZE = STRUCTURES["IO_FD"].request_size
TYPE = constants.IO_FD_TYPE
EVENTFD_FLAGS = sum(vars(constants.IOEVENTFD_FLAGS).values())
ROOM = 1 << 16  # of argsz: for more entries than a page has
IOREGION_READ, IOREGION_WRITE, IOREGION_32_BITS = 0, 1, 2 << 4  # of the kernel's proposal
AROUND = 2048  # bytes on each side of a sub-region in which its effect shows


def listed(session, index):
    """The whole reply for a region, by the argsz that it needs."""
    reply = session.call(COMMAND, index=index, argsz=ROOM)
    if reply.argsz > len(reply.payload):
        reply = session.call(COMMAND, index=index, argsz=reply.argsz)
    return reply


def all_listed(session, device):
    """The replies for all regions with sub-regions."""
    outcomes = {
        region.index: session.outcome(COMMAND, index=region.index, argsz=ROOM)
        for region in device.regions
    }
    found = [index for index, outcome in outcomes.items()
             if outcome.kind == "success" and outcome.reply.count]
    assert found, "no region has sub-regions"
    return [listed(session, index) for index in found]


def stride(reply):
    """The size of an entry."""
    return (reply.argsz - FIXED) // reply.count


def entries(reply):
    """The sub-regions of a reply, which have to be inside it."""
    if stride(reply) < ENTRY_SIZE or reply.argsz > len(reply.payload):
        raise Failure("reply.field", "argsz and count leave no room for the entries",
                      requirement="REG-IOFD-003", came=reply.text())
    return [parse("IO_FD", reply.payload, FIXED + number * stride(reply))
            for number in range(reply.count)]


def descriptor(reply, one):
    """The descriptor of a sub-region."""
    if one.fd_index >= len(reply.fds):
        raise Failure("reply.field", f"fd_index {one.fd_index} with {len(reply.fds)} descriptors",
                      requirement="REG-IOFD-006", came=reply.text())
    return reply.fds[one.fd_index]


def all_entries(session, device):
    """(region, entry) of all sub-regions."""
    return [(device.regions[reply.index], one)
            for reply in all_listed(session, device) for one in entries(reply)]


def of_type(found, kind, words):
    """Those of a type; skips the case where there is none."""
    chosen = [(region, one) for region, one in found if one.type == kind]
    if not chosen:
        pytest.skip(f"needs: {words}")
    return chosen


# ---- every server ----


@covers("REG-IOFD-001")
def test_each_region_is_described_or_refused(session, device):
    for region in device.regions:
        outcome = session.outcome(COMMAND, index=region.index, argsz=ROOM)
        if outcome.kind == "success":
            reply = outcome.reply
            assert (reply.index, reply.flags) == (region.index, 0), reply.text()
            assert len(reply.payload) == reply.argsz >= FIXED + ENTRY_SIZE * reply.count
    session.barrier()


@covers("REG-IOFD-002")
@pytest.mark.parametrize("beyond", ["first", "positive", "largest"])
def test_index_beyond_the_last_region_is_refused(session, device, beyond):
    index = {"first": device.info.num_regions, "positive": (1 << 31) - 1, "largest": (1 << 32) - 1}
    refusal = session.refuse(COMMAND, index=index[beyond])
    assert not refusal.fds
    session.barrier()


@covers("REG-IOFD-002")
@pytest.mark.parametrize("field", ["flags", "count"])
def test_fields_that_must_be_zero_are_refused_or_ignored(session, device, field):
    for region in device.regions:
        normal = session.outcome(COMMAND, index=region.index)
        outcome = session.outcome(COMMAND, index=region.index, **{field: 1})
        if outcome.kind == "success":
            assert outcome.reply.payload == normal.reply.payload
            assert len(outcome.reply.fds) == len(normal.reply.fds)


@covers("REG-IOFD-007")
def test_region_without_sub_regions_is_refused_or_has_none(session, device):
    for region in device.regions:
        outcome = session.outcome(COMMAND, index=region.index)
        if outcome.kind == "success" and not outcome.reply.count:
            reply = outcome.reply
            assert (reply.argsz, len(reply.payload)) == (FIXED, FIXED), reply.text()
            assert not reply.fds


@covers("REG-IOFD-007")
@reading("R8")
@needs("io_fds")
def test_region_without_sub_regions_has_none(session, device):
    for region in device.regions:
        session.call(COMMAND, index=region.index)


# ---- what is described ----


@covers("REG-IOFD-003")
@needs("io_fds")
def test_reply_counts_the_sub_regions_and_holds_them_all(session, device):
    for reply in all_listed(session, device):
        assert reply.flags == 0
        assert len(reply.payload) == reply.argsz
        assert (reply.argsz - FIXED) % reply.count == 0
        assert listed(session, reply.index).payload == reply.payload


@covers("REG-IOFD-004")
@needs("io_fds")
def test_entry_has_room_for_its_structure(session, device):
    for reply in all_listed(session, device):
        assert stride(reply) >= ENTRY_SIZE, reply.text()
        for one in entries(reply):
            assert one.fd_index < len(reply.fds)
            assert one.offset + one.size <= device.regions[reply.index].size


@covers("REG-IOFD-004")
@reading("W2")
@needs("io_fds")
def test_entry_is_its_structure_and_nothing_else(session, device):
    for reply in all_listed(session, device):
        assert stride(reply) == ENTRY_SIZE, reply.text()


@covers("REG-IOFD-005")
@needs("io_fds")
def test_type_is_one_of_the_two(session, device):
    for _, one in all_entries(session, device):
        assert one.type in vars(TYPE).values()


@covers("REG-IOFD-006")
@needs("io_fds")
def test_each_sub_region_has_a_descriptor_in_the_reply(session, device):
    for reply in all_listed(session, device):
        assert 1 <= len(reply.fds) <= DEFAULT["max_msg_fds"]
        for one in entries(reply):
            assert one.fd_index < len(reply.fds), reply.text()


@covers("REG-IOFD-006")
@needs("io_fds")
def test_descriptor_of_an_ioeventfd_is_an_eventfd(session, device):
    for reply in all_listed(session, device):
        for one in (one for one in entries(reply) if one.type == TYPE.IOEVENTFD):
            kind = descriptor(reply, one).kind
            assert "eventfd" in kind, f"sub-region at {one.offset:#x} has {kind}"


@covers("REG-IOFD-009")
@needs("io_fds")
def test_ioeventfd_has_known_flags_and_lies_inside_the_region(session, device):
    for region, one in of_type(all_entries(session, device), TYPE.IOEVENTFD, "an ioeventfd"):
        assert one.flags & ~EVENTFD_FLAGS == 0
        assert one.size in (0, 1, 2, 4, 8)
        assert one.offset < region.size and one.offset + one.size <= region.size
        assert one.padding == 0


@covers("REG-IOFD-010")
@needs("io_fds")
def test_ioregionfd_of_no_size_posts_its_writes(session, device):
    for region, one in of_type(all_entries(session, device), TYPE.IOREGIONFD, "an ioregionfd"):
        assert one.offset < region.size and one.offset + one.size <= region.size
        assert one.size or one.flags & constants.IOREGION_FLAGS.POSTED_WRITES


# ---- what a signal does ----


def words_around(session, region, offset):
    """The 32-bit words of the region near a sub-region, by offset; None where unreadable."""
    start = max(offset - AROUND, 0) & ~3
    end = min(offset + AROUND, region.size & ~3)
    block = try_read(session, region.index, start, end - start)
    if block is not None:
        parts = (block[at : at + 4] for at in range(0, len(block), 4))
        return {start + 4 * number: part for number, part in enumerate(parts)}
    return {at: try_read(session, region.index, at, 4) for at in range(start, end, 4)}


def changes(before, after):
    """By how much each word has changed, modulo its size, for those that have."""
    old, new = ({at: int.from_bytes(word or b"", sys.byteorder) for at, word in words.items()}
                for words in (before, after))
    return {at: (new[at] - old[at]) % (1 << 32) for at in new if new[at] != old[at]}


def effect(session, region, offset, act):
    """What changes near a sub-region by an act, once something has."""
    seen = [words_around(session, region, offset)]
    act()

    def has_changed():
        seen[1:] = [words_around(session, region, offset)]
        return seen[1] != seen[0]

    assert eventually(session, has_changed), "nothing happens"
    return changes(*seen)


def ring(session, region, one):
    """The write that the sub-region describes."""
    data = one.datamatch.to_bytes(8, sys.byteorder)
    if sys.byteorder == "big":
        data = data[8 - (one.size or 4) :]
    session.call("REGION_WRITE", region=region.index, offset=one.offset, data=data[: one.size or 4])


@covers("REG-IOFD-011")
@needs("io_fds", "ioeventfd_effect")
@pytest.mark.parametrize("times", [1, 3], ids=["once", "again"])
def test_signal_has_the_effect_of_the_write(session, device, times):
    for reply in all_listed(session, device):
        region = device.regions[reply.index]
        for one in (one for one in entries(reply) if one.type == TYPE.IOEVENTFD):
            number = descriptor(reply, one).fileno()
            written = effect(session, region, one.offset, lambda: ring(session, region, one))
            for _ in range(times):
                signalled = effect(session, region, one.offset,
                                   lambda: os.eventfd_write(number, 1))
                assert signalled == written, f"sub-region at {one.offset:#x}"


def packet(one, command=IOREGION_WRITE, **changes):
    """What the kernel would send for a write of 32 bits at the start of the sub-region. The user
    data of an ioregionfd are where an ioeventfd has its datamatch."""
    fields = {"user_data": one.datamatch, "offset": 0, "data": 1, **changes}
    info = command | IOREGION_32_BITS
    return struct.pack("=IIQQQ", info, 0, fields["user_data"], fields["offset"], fields["data"])


# Packets that are no write to the sub-region, for an entry.
NO_WRITES = {
    "read": lambda one: packet(one, IOREGION_READ),
    "of-another-sub-region": lambda one: packet(one, user_data=one.datamatch ^ 1 << 40),
    "cut-short": lambda one: packet(one)[:-1],
    "longer": lambda one: packet(one) + b"\0",
    "empty": lambda one: b"",
}


def posting(session, device):
    """(region, entry, socket) of what takes writes of its own size as packets and does not
    answer; skips the case where there is none."""
    found = [(device.regions[reply.index], one, descriptor(reply, one))
             for reply in all_listed(session, device) for one in entries(reply)
             if one.type == TYPE.IOREGIONFD and not one.size
             and stat.S_ISSOCK(os.fstat(descriptor(reply, one).fileno()).st_mode)]
    if not found:
        pytest.skip("needs: an ioregionfd that is a socket and posts its writes")
    return found


@covers("REG-IOFD-005", "REG-IOFD-010")
@needs("io_fds", "ioeventfd_effect")
@pytest.mark.parametrize("before", [*NO_WRITES, "nothing"])
def test_packet_of_a_write_has_its_effect_and_no_other_packet_has_one(session, device, before):
    for region, one, end in posting(session, device):
        written = effect(session, region, one.offset, lambda: ring(session, region, one))
        words = words_around(session, region, one.offset)
        if before in NO_WRITES:
            os.write(end.fileno(), NO_WRITES[before](one))
        session.barrier()
        assert not changes(words, words_around(session, region, one.offset)), before
        sent = effect(session, region, one.offset, lambda: os.write(end.fileno(), packet(one)))
        assert sent == written, f"sub-region at {one.offset:#x}"


# ---- what argsz and max_msg_fds leave ----


@covers("REG-IOFD-008", "ARGSZ-GEN-003", "ARGSZ-GEN-004")
@needs("io_fds")
def test_list_that_does_not_fit_is_cut_and_can_be_asked_for(session, device):
    for reply in all_listed(session, device):
        for argsz in sorted({FIXED, FIXED + 1, FIXED + stride(reply), reply.argsz - 1}):
            short = session.outcome(COMMAND, index=reply.index, argsz=argsz)
            if short.kind == "success" and argsz < reply.argsz:
                assert len(short.reply.payload) <= argsz
                assert short.reply.argsz == reply.argsz
            again = session.call(COMMAND, index=reply.index, argsz=reply.argsz)
            assert again.payload == reply.payload
            assert len(again.fds) == len(reply.fds)


@covers("ARGSZ-GEN-003", "REG-IOFD-008")
@needs("io_fds")
def test_reply_that_does_not_fit_tells_the_size_that_it_needs(session, device):
    for reply in all_listed(session, device):
        short = session.call(COMMAND, index=reply.index, argsz=FIXED)
        assert len(short.payload) == FIXED < short.argsz
        whole = session.call(COMMAND, index=reply.index, argsz=short.argsz)
        assert len(whole.payload) == whole.argsz == short.argsz
        assert len(whole.fds) == len(reply.fds)


@covers("REG-IOFD-008")
@needs("io_fds")
@pytest.mark.parametrize("argsz", [0, 4, FIXED - 1])
def test_argsz_below_the_structure_is_refused_or_answered_within_it(session, device, argsz):
    for reply in all_listed(session, device):
        outcome = session.outcome(COMMAND, index=reply.index, argsz=argsz)
        assert outcome.kind == "error" or len(outcome.reply.payload) <= argsz
        assert listed(session, reply.index).payload == reply.payload


LIMITS = {"absent": ({}, 1), "none": ({"max_msg_fds": 0}, 0), "one": ({"max_msg_fds": 1}, 1),
          "two": ({"max_msg_fds": 2}, 2)}


@covers("FD-PASS-006", "REG-IOFD-006")
@needs("io_fds")
@pytest.mark.parametrize(("offered", "limit"), LIMITS.values(), ids=LIMITS)
def test_list_names_no_more_descriptors_than_the_client_takes(connect, device, offered, limit):
    everything = connect()
    indexes = [reply.index for reply in all_listed(everything, device)]
    everything.close()
    session = connect(capabilities=offered)
    for index in indexes:
        outcome = session.outcome(COMMAND, index=index, argsz=ROOM)
        assert len(outcome.reply.fds) <= limit
        if outcome.kind == "success" and outcome.reply.count:
            assert all(one.fd_index < len(outcome.reply.fds) for one in entries(outcome.reply))


@covers("CONN-SOCK-005", "REG-IOFD-011")
@needs("io_fds", "ioeventfd_effect")
def test_write_by_message_works_without_the_descriptor(connect, device):
    everything = connect()
    found = [(region, one) for region, one in all_entries(everything, device)
             if one.type == TYPE.IOEVENTFD]
    everything.close()
    session = connect(capabilities={"max_msg_fds": 0})
    for region, one in found:
        assert effect(session, region, one.offset, lambda: ring(session, region, one))
        assert read(session, region.index, one.offset & ~3, 4) is not None
