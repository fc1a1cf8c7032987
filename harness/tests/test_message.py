# SPDX-License-Identifier: BSD-3-Clause
"""Messages: well-formed by default, one thing wrong on request, shown as they are."""

import struct

import pytest

from vuc.message import encode, message, parse, structure, unknown
from vuc.schema import COMMANDS, CONSTANTS, HEADER, STRUCTURES, Role, constants

ALL = [*COMMANDS.values(), *STRUCTURES.values()]
REQUESTS = [row for row in COMMANDS.values() if not row.to_client]


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row.name)
def test_the_default_message_of_every_command_has_the_size_of_its_structure(row):
    image = message(row.name).bytes(7)
    assert struct.unpack("=HHIII", image[:16]) == (7, row.number, 16 + row.request_size, 0, 0)
    assert len(image) == 16 + row.request_size


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_the_fields_of_every_structure_fill_it_without_a_hole(row):
    for fields, size in ((row.request, row.request_size), (row.reply, row.reply_size)):
        at = 0
        for field in fields.values():
            assert field.offset == at
            at += field.width
        assert at == size


def test_a_dma_map_has_its_bytes_where_the_specification_puts_them():
    image = message("DMA_MAP", flags="READ|WRITE", offset=0x2000, address=0x100000, size=0x1000)
    assert image.payload == struct.pack("=IIQQQ", 32, 3, 0x2000, 0x100000, 0x1000)


@pytest.mark.parametrize(
    ("name", "given", "argsz"),
    [
        ("DMA_MAP", {}, 32),
        ("DMA_UNMAP", {}, 24),
        ("DEVICE_SET_IRQS", {"data": b"\1\1"}, 22),
        ("DEVICE_GET_INFO", {}, 4096),
        ("DEVICE_GET_REGION_INFO", {"argsz": 32}, 32),
        ("DEVICE_FEATURE", {"flags": "PROBE|MIGRATION"}, 4096),
        ("MIG_DATA_READ", {"size": 100}, 108),
        ("MIG_DATA_WRITE", {"data": b"12345"}, 13),
    ],
)
def test_argsz_is_right_by_default(name, given, argsz):
    assert message(name, **given).values["argsz"] == argsz


def test_the_length_of_a_tail_is_that_of_the_data():
    one = message("REGION_WRITE", region=1, offset=8, data=b"\1\2\3")
    assert one.payload == struct.pack("=QII", 8, 1, 3) + b"\1\2\3"
    assert one.replace(data=b"").values["count"] == 0
    assert one.replace(count=9).payload[12:16] == struct.pack("=I", 9)


def test_cut_and_extend_keep_the_header_consistent():
    one = message("DEVICE_GET_INFO")
    assert len(one.cut(5).bytes()) == 21 and one.cut(5).bytes()[4:8] == struct.pack("=I", 21)
    assert one.extend(b"xy").payload == one.payload + b"xy"
    assert one.extend(b"xy").bytes()[4:8] == struct.pack("=I", 34)
    assert one.payload == message("DEVICE_GET_INFO").payload


def test_the_header_can_be_made_wrong():
    one = message("DEVICE_GET_INFO", header={"id": 9, "command": 99, "msg_size": 3, "error": 5})
    assert struct.unpack("=HHIII", one.with_header(flags="ERROR").bytes(4)[:16]) == (
        9, 99, 3, constants.HEADER_FLAGS.ERROR, 5)


def test_no_reply_sets_its_bit():
    assert message("DEVICE_RESET", no_reply=True).bytes()[8:12] == struct.pack("=I", 0x10)


def test_an_unknown_command_is_made_from_its_number():
    assert unknown(99, b"abc").bytes(1) == struct.pack("=HHIII", 1, 99, 19, 0, 0) + b"abc"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: message("DMA_MOP"), "no command 'DMA_MOP'"),
        (lambda: message("DMA_MAP", adress=1), "no field 'adress'"),
        (lambda: message("DMA_MAP", data=b"x"), "no variable data"),
        (lambda: message("DMA_MAP").replace(adress=1), "no field 'adress'"),
        (lambda: message("DMA_MAP", header={"size": 1}), "no field 'size'"),
        (lambda: message("DMA_MAP").with_header(size=1), "no field 'size'"),
    ],
)
def test_wrong_names_are_an_error_of_the_case(make, words):
    with pytest.raises(TypeError, match=words):
        make()


@pytest.mark.parametrize("given", [{"flags": "REED"}, {"flags": 1 << 32}, {"size": -1}])
def test_wrong_values_are_an_error_of_the_case(given):
    with pytest.raises(ValueError):
        message("DMA_MAP", **given)


def test_names_and_numbers_mix_and_overlap():
    assert message("DMA_MAP", flags="READ|READ|0x10").values["flags"] == 0x11


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (lambda: message("DMA_MAP", flags="READ|WRITE", address=0x100000, size=0x10000),
         "dma_map(argsz=32, flags=READ|WRITE, offset=0, address=0x100000, size=0x10000)"),
        (lambda: message("DEVICE_GET_INFO", header={"id": 5, "msg_size": 12}),
         "device_get_info(argsz=4096) (id: 5, msg_size: 0xc)"),
        (lambda: message("REGION_READ", region=7, offset=4, count=2, no_reply=True),
         "region_read(offset=4, region=CONFIG, count=2) (no_reply)"),
        (lambda: message("DEVICE_GET_REGION_INFO", index=9),
         "device_get_region_info(argsz=4096, index=9)"),
        (lambda: message("DEVICE_FEATURE", flags="GET|DMA_LOGGING_REPORT").cut(2).extend(b"abc"),
         "device_feature(argsz=4096, flags=GET|DMA_LOGGING_REPORT) (cut: 2, surplus: 3)"),
        (lambda: message("VERSION", data=b"{}\0"), "version(major=0, minor=0, data='{}\\0')"),
        (lambda: message("REGION_WRITE", data=b"\0\1"),
         "region_write(offset=0, region=BAR0, count=2, data=<2 bytes: 00 01>)"),
        (lambda: unknown(99), "command_99()"),
    ],
)
def test_messages_are_shown_as_programs(one, text):
    assert one().text() == text


def test_long_data_is_shown_by_its_length():
    assert "<100 bytes: 00 00" in message("REGION_WRITE", data=bytes(100)).text()
    assert len(message("VERSION", data=b"x" * 5000).text()) < 200


def test_structures_inside_tails_round_trip():
    image = structure("CAP_SPARSE_MMAP", id="SPARSE_MMAP", version=1, nr_areas=1,
                      tail=structure("SPARSE_AREA", offset=4096, size=8192))
    found = parse("CAP_SPARSE_MMAP", b"head" + image, 4)
    assert (found.id, found.version, found.next, found.nr_areas) == (1, 1, 0, 1)
    area = parse("SPARSE_AREA", found.rest)
    assert (area.offset, area.size, area.rest) == (4096, 8192, b"")
    assert structure("WRITE_MULTI_ENTRY", count=8, data=5)[-8:] == struct.pack("=Q", 5)


@pytest.mark.parametrize("offset", [-1, 1, 100])
def test_a_structure_that_is_not_all_there_is_an_error(offset):
    with pytest.raises(ValueError):
        parse("SPARSE_AREA", bytes(16), offset)


def test_every_constant_is_an_attribute_and_survives_its_text():
    assert constants.DMA_MAP_FLAGS.READ == CONSTANTS["DMA_MAP_FLAGS"]["READ"] == 1
    for row in COMMANDS.values():
        for field in (*row.request.values(), *row.reply.values()):
            for name, value in field.constants.items():
                assert field.number(name) == value
                assert field.number(field.text(value)) == value
            if field.role == Role.FLAGS:
                everything = field.limit - 1
                assert field.number(field.text(everything)) == everything


def test_encoding_leaves_the_rest_zero():
    assert encode(HEADER, 16, {"command": 0x0102}) == struct.pack("=HHIII", 0, 0x0102, 0, 0, 0)
