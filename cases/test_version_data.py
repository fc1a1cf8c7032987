# SPDX-License-Identifier: BSD-3-Clause
"""Version Data Format: what is taken as version data, what is refused, and what is sent back."""

import pytest
from negotiation import (
    LIMITS, REFUSED, TWIN, assert_known_entries, text, try_version,
)

from vuc import covers, reading
from vuc.schema import HEADER_SIZE
from vuc.session import DEFAULT, capabilities_of

MIB = 1 << 20


@covers("VER-JSON-001")
def test_version_data_is_optional(connect):
    connection = connect(version=False)
    request = connection.version(capabilities=None)
    assert len(request.bytes()) == HEADER_SIZE + 4
    connection.negotiated_by(connection.call(request))
    connection.barrier()


@covers("VER-JSON-002")
@pytest.mark.parametrize("words", ["{}", '{"capabilities":{}}', ' {\n"capabilities" : { }\t}\r\n'],
                         ids=["no-capabilities", "empty-capabilities", "with-white-space"])
def test_capabilities_are_optional(connect, words):
    try_version(connect, text(words), allowed=("success",))


@covers("VER-JSON-003")
@pytest.mark.parametrize("data", [b"{}", b'{"capabilities":{"max_msg_fds":8}}', b"{", b"\xff"],
                         ids=["empty", "capabilities", "one-byte", "one-high-byte"])
def test_version_data_without_its_nul_is_taken_or_refused(connect, data):
    try_version(connect, data)


@covers("VER-JSON-003")
@reading("N9")
@pytest.mark.parametrize("data", [b"{}", b'{"capabilities":{"max_msg_fds":8}}'],
                         ids=["empty", "capabilities"])
def test_version_data_without_its_nul_is_refused(connect, data):
    try_version(connect, data, allowed=REFUSED)


BROKEN_TEXTS = {"object-not-closed": "{", "string-not-closed": '"', "wrong-bracket": "{]"}
DOUBTFUL_TEXTS = {
    "single-quotes": "{'a':1}",
    "plain-text": "capabilities",
    "empty": "",
    "comment": "{/* */}",
    "comma-at-the-end": '{"capabilities":{},}',
    "something-behind": '{"capabilities":{}} x',
    "two-objects": "{}{}",
    "bytes-behind-a-nul": "{}\0{}",
    "two-nuls": "{}\0",
}


@covers("VER-JSON-004")
@pytest.mark.parametrize("words", BROKEN_TEXTS.values(), ids=list(BROKEN_TEXTS))
def test_broken_json_is_refused(connect, words):
    try_version(connect, text(words), allowed=REFUSED)


@covers("VER-JSON-004")
@pytest.mark.parametrize("words", DOUBTFUL_TEXTS.values(), ids=list(DOUBTFUL_TEXTS))
def test_doubtful_json_is_taken_or_refused(connect, words):
    try_version(connect, text(words))


@covers("VER-JSON-004")
@reading("N10")
@pytest.mark.parametrize("words", DOUBTFUL_TEXTS.values(), ids=list(DOUBTFUL_TEXTS))
def test_what_is_no_json_is_refused(connect, words):
    try_version(connect, text(words), allowed=REFUSED)


NOT_OBJECTS = {
    "array": "[]",
    "number": "3",
    "string": '"x"',
    "null": "null",
    "true": "true",
    "capabilities-string": '{"capabilities":"x"}',
    "capabilities-null": '{"capabilities":null}',
    "capabilities-array": '{"capabilities":[]}',
    "capabilities-number": '{"capabilities":1}',
    "capabilities-false": '{"capabilities":false}',
    "capabilities-in-an-array": '{"capabilities":[{"max_msg_fds":1}]}',
}


@covers("VER-JSON-005")
@pytest.mark.parametrize("words", NOT_OBJECTS.values(), ids=list(NOT_OBJECTS))
def test_json_of_another_type_is_taken_for_no_capabilities_or_refused(connect, words):
    _, outcome = try_version(connect, text(words))
    if outcome.kind == "success":
        assert not outcome.reply.fds
        assert_known_entries(capabilities_of(outcome.reply.data))


@covers("VER-JSON-005")
@reading("N10")
@pytest.mark.parametrize("words", NOT_OBJECTS.values(), ids=list(NOT_OBJECTS))
def test_json_of_another_type_is_refused(connect, words):
    try_version(connect, text(words), allowed=REFUSED)


@covers("VER-JSON-006")
def test_unknown_keys_are_ignored_and_not_echoed(connect):
    words = '{"other":1,"capabilities":{"x_test":{"a":[1,2]},"max_msg_fds":1,"x":null}}'
    connection, _ = try_version(connect, text(words), allowed=("success",))
    assert "x_test" not in connection.negotiated
    assert "x" not in connection.negotiated


TYPES = {"string": '"x"', "digits": '"1"', "null": "null", "array": "[]", "fraction": "1.5"}
NUMBERS = {**TYPES, "true": "true", "object": "{}", "negative": "-1", "exponent": "1e400"}
WRONG_VALUES = {
    "max_msg_fds": {**NUMBERS, "2-to-32": f"{1 << 32}", "2-to-63": f"{1 << 63}"},
    "max_data_xfer_size": {**NUMBERS, "zero": "0", "1-tib": f"{1 << 40}", "2-to-64": f"{1 << 64}"},
    "pgsizes": {**NUMBERS, "zero": "0", "no-power-of-two": "3", "negative-page": "-4096"},
    "max_dma_maps": {**NUMBERS, "zero": "0", "2-to-64": f"{1 << 64}"},
    "twin_socket": {**TYPES, "true": "true", "supported-string": '{"supported":"yes"}',
                    "supported-number": '{"supported":1}'},
    "write_multiple": {**TYPES, "number": "1", "object": "{}"},
}
WRONG = {
    f"{name}-{word}": (name, value)
    for name, values in WRONG_VALUES.items()
    for word, value in values.items()
}


@covers("VER-JSON-007")
@pytest.mark.parametrize("name, value", WRONG.values(), ids=list(WRONG))
def test_impossible_value_of_a_capability_is_ignored_or_refused(connect, device, name, value):
    connection, outcome = try_version(connect, text(f'{{"capabilities":{{"{name}":{value}}}}}'))
    if outcome.kind != "success":
        return
    assert_known_entries(connection.negotiated)
    assert len(outcome.reply.fds) <= 1
    for region in device.regions:
        connection.call("DEVICE_GET_REGION_INFO", index=region.index)


HOSTILE_TEXTS = {
    "5000-arrays": b"[" * 5000 + b"]" * 5000,
    "100000-arrays": b"[" * 100000 + b"]" * 100000,
    "100000-arrays-not-closed": b"[" * 100000,
    "100000-objects": b'{"a":' * 100000 + b"1" + b"}" * 100000,
    "deep-capability": b'{"capabilities":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}",
    "long-string": b'{"a":"' + b"x" * MIB + b'"}',
    "long-key": b'{"capabilities":{"' + b"k" * MIB + b'":1}}',
    "long-number": b'{"capabilities":{"max_msg_fds":' + b"9" * MIB + b"}}",
    "white-space": b"{" + b" " * MIB + b"}",
    "many-keys": b'{"capabilities":{' + b",".join(b'"k%d":1' % i for i in range(20000)) + b"}}",
    "same-key": b'{"capabilities":{' + b",".join([b'"max_msg_fds":1'] * 20000) + b"}}",
    "twice-the-capabilities": b'{"capabilities":{"max_msg_fds":1},"capabilities":3}',
    "no-utf-8-in-a-key": b'{"\xff\xfe":1,"capabilities":{"\xff\xfe":1}}',
    "no-utf-8-in-a-value": b'{"capabilities":{"x":"\xc3\x28\xed\xa0\x80"}}',
    "byte-order-mark": b"\xef\xbb\xbf{}",
    "half-a-surrogate": b'{"capabilities":{"\\ud800":"\\udc00\\u0000"}}',
    "nul-escape-in-a-key": b'{"capabilities":{"max_msg_fds\\u0000x":1}}',
    "escape-not-ended": b'{"a":"\\u12',
}


@covers("VER-JSON-008")
@pytest.mark.parametrize("data", HOSTILE_TEXTS.values(), ids=list(HOSTILE_TEXTS))
def test_hostile_json_harms_no_later_client(connect, data):
    connection, _ = try_version(connect, data + b"\0")
    connection.close()
    connect().barrier()


@covers("VER-JSON-009", "VER-NEG-009")
@pytest.mark.parametrize(
    "offered",
    [None, {}, DEFAULT, {**DEFAULT, **LIMITS}, {**DEFAULT, **TWIN}],
    ids=["none", "empty", "usual", "limits", "twin-socket"],
)
def test_version_data_of_the_reply_is_one_json_object_with_known_types(connect, offered):
    connection = connect(version=False)
    connection.negotiate(capabilities=offered)
    assert_known_entries(connection.negotiated)
