# SPDX-License-Identifier: BSD-3-Clause
"""Connections against a server that does what each test tells it to, right or wrong."""

import array
import os
import socket
import struct
import threading
from errno import EEXIST, EINVAL, ENOENT

import pytest

from vuc import duration
from vuc.evidence import EventFd, Fds
from vuc.failure import BEFORE_LINES, Failure
from vuc.measure import queues
from vuc.message import message, unknown
from vuc.register import READINGS
from vuc.schema import COMMANDS
from vuc.session import TWIN, Connection, capabilities_bytes, capabilities_of

HEADER = struct.Struct("=HHIII")
REPLY, ERROR = 1, 0x20
INFO = struct.pack("=IIII", 16, 3, 9, 5)
INFO_REQUEST = message("DEVICE_GET_INFO").bytes(2)
CAPABILITIES = b'{"capabilities":{"max_msg_fds":8,"max_dma_maps":100}}\0'
CLOSE = object()
NUMBER = {name: row.number for name, row in COMMANDS.items()}


def reply(command, payload=b"", *, to=None, error=None, flags=REPLY):
    """A script's answer: bytes with the id of the message it answers, or `to`."""
    flags |= ERROR if error is not None else 0
    return lambda number: HEADER.pack(number if to is None else to, command, 16 + len(payload),
                                      flags, error or 0) + payload



class Script:
    """Answers messages in a thread of its own: {command number: list of answers}, each used once,
    the last one again. What is not in the script gets a good answer."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.answers = {}
        self.seen = []
        self.fds = []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with self.theirs:
            while (got := self.receive()) is not None:
                if not self.answer(*got):
                    return

    def take(self, size):
        image = b""
        while len(image) < size:
            got, ancillary, _, _ = self.theirs.recvmsg(size - len(image), 4096)
            for _, _, data in ancillary:
                self.fds += array.array("i", data)
            if not got:
                return None
            image += got
        return image

    def receive(self):
        header = self.take(HEADER.size)
        if header is None:
            return None
        number, command, size, flags, _ = HEADER.unpack(header)
        body = self.take(max(size, 16) - 16)
        self.seen.append((number, command, flags, body))
        return None if body is None else (number, command, flags)

    def answer(self, number, command, flags):
        script = self.answers.get(command)
        if script is None and flags & 0x10:
            return True
        steps = self.good(command) if script is None else script.pop(0) if script[1:] else script[0]
        for step in steps if isinstance(steps, list) else [steps]:
            if step is CLOSE:
                return False
            if isinstance(step, tuple):
                socket.send_fds(self.theirs, [step[0](number)], step[1])
            elif step is not None:
                self.theirs.sendall(step(number))
        return True

    def good(self, command):
        row = {NUMBER["VERSION"]: bytes(4) + CAPABILITIES, NUMBER["DEVICE_GET_INFO"]: INFO}
        sizes = {one.number: one.reply_size for one in COMMANDS.values()}
        return reply(command, row.get(command, bytes(sizes.get(command, 0))))

    def close(self):
        self.theirs.shutdown(socket.SHUT_RDWR) if self.theirs.fileno() >= 0 else None
        self.thread.join(5)
        for number in self.fds:
            os.close(number)


@pytest.fixture
def script():
    made = Script()
    yield made
    if made.thread.is_alive():
        made.close()


@pytest.fixture
def raw(script):
    with Connection.adopt(script.ours.detach()) as connection:
        script.thread.start()
        yield connection
    script.thread.join(5)


@pytest.fixture
def session(raw):
    raw.negotiate()
    return raw


@pytest.fixture
def impatient():
    duration.set_patience(0.05)
    yield
    duration.set_patience(1)


def failure(code):
    return pytest.raises(Failure, match=f"^{code}(:|\n|$)")


def map_one(session, **more):
    return session.call("DMA_MAP", flags="READ|WRITE", address=0x1000, size=0x1000, **more)


# ---- negotiation ----


def test_negotiation_offers_the_defaults_and_keeps_what_the_server_said(session, script):
    assert session.negotiated == {"max_msg_fds": 8, "max_dma_maps": 100}
    assert (session.limits.max_msg_fds, session.limits.max_dma_maps) == (8, 100)
    assert session.limits.max_data_xfer_size == 1 << 20 and not session.limits.write_multiple
    assert b'"max_msg_fds": 16' in script.seen[0][3]


def test_version_data_is_what_was_asked_for(script, raw):
    raw.negotiate(minor=2, capabilities=None)
    assert script.seen[0][3] == struct.pack("=HH", 0, 2)
    assert capabilities_bytes(b"raw") == b"raw"
    assert capabilities_bytes({}) == b'{"capabilities": {}}\0'


@pytest.mark.parametrize(
    "data", [b"{}", b"{}\0\0", b"[]\0", b'{"capabilities":3}\0', b"{\0", b"\xff\0"]
)
def test_version_data_of_a_wrong_form_is_a_failure(script, raw, data):
    script.answers = {NUMBER["VERSION"]: [reply(NUMBER["VERSION"], bytes(4) + data)]}
    with failure("reply.field"):
        raw.negotiate()


def test_version_data_may_be_absent_or_empty():
    assert capabilities_of(b"") == capabilities_of(b"{}\0") == {}


@pytest.fixture
def twin(script, raw):
    """The server's end of a twin socket of `raw`."""
    data = b'{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}\0'
    here, there = socket.socketpair()
    with here, there:
        answer = reply(NUMBER["VERSION"], bytes(4) + data)
        script.answers = {NUMBER["VERSION"]: [(answer, [there.fileno()])]}
        raw.negotiate(capabilities={"max_msg_fds": 1, "twin_socket": {"supported": True}})
        yield here


def test_a_twin_socket_is_taken_over(twin, raw):
    assert raw.twin
    twin.sendall(HEADER.pack(3, NUMBER["DMA_READ"], 32, 0, 0) + struct.pack("=QQ", 0x1000, 4))
    request = raw.take_request()
    assert (request.address, request.count, request.channel) == (0x1000, 4, 1)
    raw.answer(request, data=b"abcd")
    answered = HEADER.pack(3, 11, 36, 1, 0) + struct.pack("=QQ", 0x1000, 4) + b"abcd"
    assert twin.recv(100) == answered


def test_who_is_deaf_leaves_the_twin_socket_unread(twin, raw):
    raw.deaf = True
    twin.sendall(HEADER.pack(3, NUMBER["DMA_READ"], 32, 0, 0) + struct.pack("=QQ", 0x1000, 4))
    assert raw.call("DEVICE_GET_INFO").num_regions == 9
    assert raw.pending_request() is None and queues(raw, TWIN)[1] == 32
    raw.deaf = False
    assert raw.take_request().address == 0x1000


def test_who_is_deaf_takes_the_reply_to_its_command_alone(session, script):
    session.deaf = True
    command = NUMBER["DEVICE_GET_INFO"]
    script.answers = {command: [lambda number: reply(command, INFO)(number + 1)]}
    with failure("reply.field"):
        session.call("DEVICE_GET_INFO")


def test_a_twin_socket_without_its_descriptor_is_a_failure(script, raw):
    data = b'{"capabilities":{"twin_socket":{"supported":true}}}\0'
    script.answers = {NUMBER["VERSION"]: [reply(NUMBER["VERSION"], bytes(4) + data)]}
    with failure("reply.field"):
        raw.negotiate()


# ---- call ----


def test_a_call_returns_the_fields_of_the_reply(session):
    info = session.call("DEVICE_GET_INFO")
    assert (info.argsz, info.flags, info.num_regions, info.num_irqs) == (16, 3, 9, 5)
    assert info.payload == INFO and info.data == b"" and info.header.msg_size == 32
    with pytest.raises(AttributeError):
        info.nothing


def test_ids_count_up_unless_the_header_gives_one(session, script):
    session.barrier()
    session.call("DEVICE_GET_INFO", header={"id": 0})
    session.barrier()
    assert [row[0] for row in script.seen] == [1, 2, 0, 3]


def test_ids_begin_anew_behind_the_last(session, script):
    session._next_id = 0xFFFF
    session.barrier()
    session.barrier()
    assert [row[0] for row in script.seen] == [1, 0xFFFF, 1]


def test_a_call_that_is_refused_is_a_failure_with_a_listing(session, script):
    script.answers = {NUMBER["DMA_MAP"]: [reply(NUMBER["DMA_MAP"], error=EINVAL)]}
    with EventFd() as one, failure("reply.unexpected-error") as caught:
        map_one(session, fds=[one])
    lines = str(caught.value).splitlines()
    assert lines[1:4] == [
        "    sent      dma_map(argsz=32, flags=READ|WRITE, offset=0, address=0x1000, size=0x1000)"
        " fds=[eventfd]",
        "    allowed   success",
        "    came      error EINVAL",
    ]
    assert lines[4].startswith("    before    -> #1 version(major=0")


def test_a_reply_without_its_whole_structure_is_a_failure(session, script):
    script.answers = {NUMBER["DEVICE_GET_INFO"]: [reply(NUMBER["DEVICE_GET_INFO"], INFO[:12])]}
    with failure("reply.field"):
        session.barrier()
    sent = session.send("DEVICE_GET_INFO")
    with failure("reply.field"):
        session.reply(sent).num_irqs


def test_a_reply_may_be_as_short_as_argsz_says(session, script):
    script.answers = {NUMBER["DEVICE_GET_INFO"]: [reply(NUMBER["DEVICE_GET_INFO"], INFO[:8])]}
    assert session.call("DEVICE_GET_INFO", argsz=8).flags == 3


def test_silence_and_a_closed_connection_are_failures(session, script, impatient):
    script.answers = {NUMBER["DMA_MAP"]: [[]], NUMBER["DEVICE_RESET"]: [CLOSE]}
    with failure("reply.missing"):
        map_one(session)
    with failure("reply.closed"):
        session.call("DEVICE_RESET")


def test_lost_framing_is_a_failure(session, script):
    script.answers = {NUMBER["DEVICE_RESET"]: [lambda number: HEADER.pack(number, 13, 3, 1, 0)]}
    with failure("channel.framing"):
        session.call("DEVICE_RESET")


def test_replies_are_matched_by_id_and_command_in_any_order(session, script):
    script.answers = {
        NUMBER["DMA_MAP"]: [[]],
        NUMBER["DEVICE_RESET"]: [[reply(13), reply(NUMBER["DMA_MAP"], error=EINVAL, to=2)]],
    }
    first = session.send("DMA_MAP")
    second = session.send("DEVICE_RESET")
    assert session.refusal(first).errno == EINVAL
    assert session.success(second).header.id == 3


def test_descriptors_of_a_reply_are_the_connections(session, script):
    with Fds() as fds:
        probe = fds.probe()
        answer = reply(NUMBER["DEVICE_GET_REGION_INFO"], bytes(32))
        script.answers = {NUMBER["DEVICE_GET_REGION_INFO"]: [(answer, [probe.fileno()])]}
        came = session.call("DEVICE_GET_REGION_INFO", index=1)
        assert len(came.fds) == 1 and came.fds[0].kind.startswith("pipe")
        assert not probe.released(0)
        session.close()
        assert probe.released()


def test_descriptors_go_with_the_message(session, script):
    with EventFd() as one:
        session.call("DEVICE_SET_IRQS", fds=[one, one.fileno()], count=2)
        assert len(script.fds) == 2
        assert os.readlink(f"/proc/self/fd/{script.fds[0]}") == "anon_inode:[eventfd]"


# ---- refuse ----


def test_a_refusal_is_returned_with_its_errno(session, script):
    script.answers = {NUMBER["DMA_UNMAP"]: [reply(NUMBER["DMA_UNMAP"], error=ENOENT)]}
    assert session.refuse("DMA_UNMAP", errno={ENOENT, EINVAL}).errno == ENOENT
    assert session.refuse("DMA_UNMAP").errno == ENOENT
    with failure("reply.errno") as caught:
        session.refuse("DMA_UNMAP", errno=EINVAL)
    assert caught.value.allowed == "error EINVAL" and caught.value.came == "error ENOENT"


def test_no_reason_is_right_except_where_eexist_is_due(session, script):
    script.answers = {NUMBER["DMA_MAP"]: [reply(NUMBER["DMA_MAP"], error=0)]}
    session.refuse("DMA_MAP", errno=EINVAL)
    session.refuse("DMA_MAP", errno={EINVAL, EEXIST})
    with failure("reply.errno"):
        session.refuse("DMA_MAP", errno=EEXIST)


def test_success_instead_of_a_refusal_is_a_failure(session):
    with failure("reply.unexpected-success"):
        session.refuse("DEVICE_RESET")


def test_a_refusal_shows_a_payload_that_it_should_not_have(session, script):
    script.answers = {NUMBER["DEVICE_RESET"]: [reply(13, b"abc", error=EINVAL)]}
    assert session.refuse("DEVICE_RESET").text() == "error EINVAL with a payload of 3 bytes"
    assert [one.code for one in session.violations()] == ["envelope.error-with-payload"]


# ---- outcome ----

OUTCOME_SCRIPTS = {
    "success": reply(99),
    "error": reply(99, error=EINVAL),
    "close": CLOSE,
    "silence": [],
}


@pytest.mark.parametrize("kind", OUTCOME_SCRIPTS)
def test_an_outcome_is_what_happened(session, script, kind):
    script.answers = {99: [OUTCOME_SCRIPTS[kind]]}
    found = session.outcome(unknown(99), allowed=("success", "error", "close", "silence"))
    assert found.kind == kind
    assert (found.reply is not None) == (kind in ("success", "error"))


@pytest.mark.parametrize(
    ("kind", "code"),
    [("success", "reply.unexpected-success"), ("error", "reply.unexpected-error"),
     ("close", "reply.closed"), ("silence", "reply.missing")],
)
def test_an_outcome_that_is_not_allowed_is_a_failure(session, script, kind, code, impatient):
    script.answers = {99: [OUTCOME_SCRIPTS[kind]]}
    with failure(code) as caught:
        session.outcome(unknown(99), allowed=set(OUTCOME_SCRIPTS) - {kind})
    assert kind not in caught.value.allowed.split(" or ")


def test_silence_is_shown_by_a_barrier_and_not_by_time(session, script):
    script.answers = {99: [[]]}
    assert session.outcome(unknown(99), allowed={"silence"}).kind == "silence"
    assert script.seen[-1][1] == NUMBER["DEVICE_GET_INFO"]


def test_an_error_before_the_end_is_an_error(session, script):
    script.answers = {99: [[reply(99, error=EINVAL), CLOSE]]}
    assert session.outcome(unknown(99), allowed={"error", "silence"}).kind == "error"
    assert session.expect_close() == []


def test_silence_before_the_negotiation_takes_the_short_duration(raw, script):
    script.answers = {NUMBER["DMA_MAP"]: [[]]}
    assert raw.outcome("DMA_MAP", allowed={"error", "silence"}).kind == "silence"
    raw.negotiate()


def test_the_rest_of_a_message_is_not_taken_from_a_barrier(session, script):
    one = message("DEVICE_GET_INFO", header={"msg_size": 64})
    assert session.outcome(one, allowed={"silence"}).kind == "silence"
    assert [row[1] for row in script.seen] == [NUMBER["VERSION"]]


def test_bytes_can_be_sent_as_they_are(session):
    image = message("DEVICE_GET_INFO").bytes(77)
    assert session.outcome(image, allowed={"success"}).reply.header.id == 77
    assert session.outcome(image[:10], allowed={"silence"}).kind == "silence"


def test_an_outcome_that_does_not_exist_is_an_error_of_the_case(session):
    with pytest.raises(TypeError):
        session.outcome("DEVICE_RESET", allowed={"sucess"})


# ---- silence, close, pieces ----


def test_silence_holds_when_nothing_but_the_barrier_is_answered(session, script):
    session.send("DEVICE_RESET", no_reply=True)
    session.expect_silence()
    assert session.outstanding() == 0 and session.violations() == []


def test_an_unexpected_reply_breaks_the_silence(session, script):
    script.answers = {NUMBER["DEVICE_RESET"]: [reply(13)]}
    session.send("DEVICE_RESET", no_reply=True)
    with failure("reply.unexpected"):
        session.expect_silence()
    assert session.violations()


def test_a_server_that_closes_is_expected_to_and_may_say_why(session, script):
    script.answers = {99: [[reply(99, error=EINVAL), CLOSE]]}
    sent = session.send(unknown(99), maybe=True)
    assert [one.errno for one in session.expect_close(sent)] == [EINVAL]
    assert session.send("DEVICE_RESET", maybe=True).closed
    with failure("reply.closed"):
        session.send("DEVICE_RESET")


def test_a_server_that_does_not_close_is_found(session, script, impatient):
    with failure("channel.not-closed"):
        session.expect_close()
    sent = session.send("DEVICE_RESET")
    with failure("reply.unexpected-success"):
        session.expect_close(sent)


def test_a_half_closed_connection_still_hears_the_server(session, script):
    sent = session.send("DEVICE_GET_INFO")
    session.shutdown_write()
    assert session.success(sent).num_irqs == 5
    assert session.expect_close() == []


def test_a_message_can_go_in_pieces(session, script):
    sent = session.send("DEVICE_GET_INFO", parts=[(3, 0), (16, 0), (32, 0)], paced=True)
    assert session.success(sent).num_regions == 9
    with pytest.raises(OSError):
        session.send("DEVICE_GET_INFO", parts=[(3, 0)])


def test_commands_of_the_server_are_answered_on_the_same_connection(session, script):
    request = HEADER.pack(7, NUMBER["DMA_WRITE"], 34, 0, 0) + struct.pack("=QQ", 0x1000, 2) + b"hi"
    script.answers = {NUMBER["DEVICE_RESET"]: [[lambda _: request, reply(13)]]}
    session.call("DEVICE_RESET")
    came = session.take_request()
    assert (came.address, came.count, came.data) == (0x1000, 2, b"hi")
    assert not came.is_reply and came.text().startswith("command dma_write(address=0x1000")
    session.answer(came)
    session.answer(came, errno=EINVAL)
    session.barrier()
    answered = script.seen[-3:-1]
    assert [row[:3] for row in answered] == [(7, 12, 1), (7, 12, 0x21)]
    assert answered[0][3] == struct.pack("=QQ", 0x1000, 2) and answered[1][3] == b""


# ---- the model ----


@pytest.fixture
def judged(script):
    with Connection.adopt(script.ours.detach()) as connection:
        connection.judged(READINGS)
        script.thread.start()
        connection.negotiate()
        yield connection
    script.thread.join(5)


def found(connection):
    rows = [(one.code, one.requirement) for one in connection.violations()]
    return [row for row in rows if row[0].startswith("model.")]


def test_model_judges_what_the_case_does_not_look_at(judged):
    map_one(judged)
    judged.outcome("DMA_MAP", flags="READ", address=0x1000, size=0x1000)
    assert found(judged) == [("model.reply.unexpected-success", "DMA-MAP-005")]
    judged.close()
    assert judged.violations()[0].text.startswith("dma_map id=3: allowed: error EEXIST ([0x1000, ")


def test_model_knows_a_message_that_goes_out_in_pieces(judged):
    image = message("DMA_MAP", flags="READ", address=0x1000, size=0x1000).bytes(1)
    parts = [(1, 0), (15, 0), (17, 0), (len(image), 0)]
    judged.reply(judged.send_bytes(image, parts=parts))
    judged.send_bytes(image[:20])
    judged.send_bytes(image[20:] + INFO_REQUEST[:3])
    assert judged.receive().header.command == NUMBER["DMA_MAP"]
    assert found(judged) == [("model.reply.unexpected-success", "DMA-MAP-005")]
    judged.send_bytes(INFO_REQUEST[3:])
    assert judged.receive().header.command == NUMBER["DEVICE_GET_INFO"]
    assert len(found(judged)) == 1


def test_model_judges_nothing_of_a_connection_that_it_does_not_see_all_of(judged):
    judged.unjudged()
    map_one(judged)
    map_one(judged)
    assert found(judged) == []


def test_end_that_the_client_begins_leaves_nothing_unanswered(judged, script):
    script.answers = {NUMBER["DEVICE_RESET"]: [CLOSE]}
    judged.send("DEVICE_RESET")
    judged.shutdown_write()
    judged.expect_close()
    assert found(judged) == []


def test_end_that_the_server_begins_is_found(judged, script):
    script.answers = {NUMBER["DEVICE_GET_INFO"]: [CLOSE]}
    with failure("reply.closed"):
        judged.barrier()
    assert found(judged) == [("model.reply.closed", "INFO-DEV-001")]


def test_readings_of_the_model_are_those_of_the_register(script):
    with Connection.adopt(script.ours.detach()) as connection:
        for name in ("D9", "", "d1"):
            with pytest.raises(OSError, match="Invalid argument"):
                connection.judged([*READINGS, name])
        connection.judged()
        with pytest.raises(OSError, match="busy"):
            connection.judged()
    script.theirs.close()


def test_a_listing_holds_the_last_exchanges_only(session):
    for _ in range(50):
        session.barrier()
    with failure("reply.unexpected-success") as caught:
        session.refuse("DEVICE_RESET")
    assert len(caught.value.before) == BEFORE_LINES
    assert caught.value.before[-1].startswith("<- #51 reply device_get_info")


def test_closing_twice_is_fine_and_leaves_nothing_open(script):
    before = len(os.listdir("/proc/self/fd"))
    connection = Connection.adopt(os.dup(script.ours.fileno()))
    connection.close()
    connection.close()
    assert len(os.listdir("/proc/self/fd")) == before
    script.ours.close()
    script.theirs.close()


def test_nobody_listens():
    with pytest.raises(FileNotFoundError):
        Connection.connect("/nowhere/at/all", 0)
