# SPDX-License-Identifier: BSD-3-Clause
"""One connection to the server, and the questions that cases put to it.

A Connection sends messages, matches replies, and turns whatever the specification does not allow
into a Failure that lists what was sent, what was allowed, what came, and the exchanges before.
It owns its socket and every descriptor that arrived with a message; close() (or the end of a
`with`) closes both. Timeouts are seconds; None is the long duration.
"""

from __future__ import annotations

import ctypes
import os
import select
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from errno import EEXIST, EPIPE, EPROTO, ETIMEDOUT
from types import SimpleNamespace
from typing import Any

from . import _abi
from .duration import milliseconds, short
from .evidence import Fd, Owned
from .exchange import (
    ERROR, OUTCOMES, REPLY, TYPE, Limits, Outcome, Received, Refusal, Reply, Request, Sent,
    capabilities_bytes, capabilities_of, kind_of,
)
from .failure import BEFORE_LINES, Failure
from .message import Message, decode, encode, errno_text, message, reply_payload
from .schema import BY_NUMBER, HEADER, HEADER_SIZE, command_name, constants

MAIN = _abi.ENUMS["vuc_channel"]["VUC_MAIN"]
TWIN = _abi.ENUMS["vuc_channel"]["VUC_TWIN"]
_PACED = _abi.ENUMS["vuc_send_flags"]["VUC_SEND_PACED"]
_MAYBE = _abi.ENUMS["vuc_send_flags"]["VUC_SEND_MAYBE"]

# What a client offers unless a case says otherwise.
DEFAULT: Mapping[str, Any] = {
    "max_msg_fds": 16,
    "max_data_xfer_size": constants.DEFAULTS.MAX_DATA_XFER_SIZE,
    "write_multiple": True,
}
# The same with all that the vIOMMU extension has, as far as the server goes.
VIOMMU: Mapping[str, Any] = {
    **DEFAULT,
    "viommu": {
        "version": 1, "pasid_bits": constants.LIMITS.PASID_BITS, "max_pasids": 1024,
        "page_requests": 512, "unmap_range": True, "replace": True, "backing": True,
    },
}
KEPT_VIOLATIONS = 64  # as many as the library keeps; later ones only count
_CLOSED = "closed"  # in place of a handle: ctypes refuses it, where NULL would reach the library
TRACE_LENGTH = 2 * BEFORE_LINES


def _errnos(numbers: int | Collection[int] | None) -> set[int] | None:
    if numbers is None:
        return None
    return {numbers} if isinstance(numbers, int) else set(numbers)


class Connection(Owned):
    """One connection. `negotiated` are the capabilities of the server's VERSION reply (None before
    it), `limits` what follows from them; `twin` tells whether there is a twin socket; `viommu` has
    the members of the vIOMMU extension, none without it; `poc` tells whether the server is one to
    speak the poc dialect of that extension to. While `deaf` is set nobody reads the twin socket:
    replies are the messages of the main one, and no command of the server has come."""

    kind = "connection"
    went_around = 0  # connections of this process that a model judged, and then no more

    def __init__(self, client: Any):
        """Takes over a client handle of the library; see connect() and adopt()."""
        self._client = client
        self._next_id = 1
        self._seen: list[SimpleNamespace] = []  # violations, once closed
        self._owned: list[Fd] = []
        self._programs: list[str] | None = None
        self._judged = False
        self._trace: deque[tuple[str, int, Any]] = deque(maxlen=TRACE_LENGTH)
        self.negotiated: dict[str, Any] | None = None
        self.limits = Limits()
        self.twin = False
        self.viommu: dict[str, Any] = {}
        self.poc = False
        self.deaf = False

    @classmethod
    def connect(cls, path: str, timeout: float | None = None) -> Connection:
        """Connect to a listening socket. OSError as the kernel says."""
        wait = milliseconds(timeout)
        return cls(_abi.create("client_connect", "vuc_client", os.fsencode(path), wait))

    @classmethod
    def adopt(cls, number: int) -> Connection:
        """Take over a connected socket; `number` is closed with the connection."""
        return cls(_abi.create("client_adopt", "vuc_client", number))

    def fileno(self, channel: int = MAIN) -> int:
        return _abi.call("client_fd", self._client, channel)

    def close(self) -> None:
        """Close the socket and all descriptors that were received. Twice is fine."""
        while self._owned:
            self._owned.pop().close()
        if not self.closed:
            self._seen = self.violations()
            self._write_down()
            _abi.lib.vuc_client_free(self._client)
            self._client = _CLOSED

    @property
    def closed(self) -> bool:
        """Has close() been called?"""
        return self._client is _CLOSED

    def shutdown_write(self) -> None:
        """Tell the server that nothing more comes, and keep reading."""
        _abi.call("client_shutdown", self._client)

    def unread(self) -> int:
        """Bytes that were sent and that the server has not read yet (in units of the kernel)."""
        return _abi.call("client_unread", self._client)

    def arrives(self, timeout: float | None = None) -> bool:
        """Does anything (the end of the connection included) come within the timeout?"""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(milliseconds(timeout)))

    # ---- what happened so far ----

    def trace(self) -> list[str]:
        """The last messages in both directions, oldest first."""
        return [_trace_line(*row) for row in self._trace]

    def violations(self) -> list[SimpleNamespace]:
        """What the envelope checker and the model found wrong: code, requirement, text of each.
        The codes of the model begin with "model."."""
        if self.closed:
            return self._seen
        found = self._rows("vuc_violation", _abi.lib.vuc_client_violation)
        for row in self._rows("vuc_finding", _abi.lib.vuc_client_finding):
            row.code = f"model.{row.code}"
            row.text = f"{command_name(row.command)} id={row.id}: {row.text}"
            found.append(row)
        return found

    def _rows(self, kind: str, ask: Callable[..., int]) -> list[SimpleNamespace]:
        count = ask(self._client, (1 << 32) - 1, None)
        rows = [_abi.types[kind]() for _ in range(min(count, KEPT_VIOLATIONS))]
        for index, row in enumerate(rows):
            ask(self._client, index, ctypes.byref(row))
        return [
            SimpleNamespace(**{name: _text(getattr(row, name)) for name, _ in row._fields_})
            for row in rows if row.code
        ]

    def judged(self, strict: Iterable[str] = ()) -> None:
        """From now on, before anything is sent, a model judges every exchange; it reads the
        ambiguities that are named strictly (register.READINGS). violations() has its findings."""
        names = [name.encode() for name in strict]
        _abi.call("client_judged", self._client, (ctypes.c_char_p * (len(names) + 1))(*names))
        self._judged = True

    def unjudged(self) -> None:
        """What follows goes around this connection: the model judges no more."""
        if not self.closed:
            _abi.lib.vuc_client_unjudged(self._client)
            Connection.went_around += self._judged
            self._judged = False

    def speak_poc(self) -> None:
        """The poc dialect is spoken, which nobody negotiates: the server may ask for pages by its
        command."""
        _abi.lib.vuc_client_set_poc(self._client)

    def recorded(self, programs: list[str]) -> None:
        """From now on, before anything is sent, what goes over the connection is written down;
        close() adds the program to `programs`."""
        _abi.call("client_recorded", self._client)
        self._programs = programs

    def _write_down(self) -> None:
        if self._programs is not None:
            text = ctypes.create_string_buffer(_abi.DEFINES["VUC_PROGRAM_SIZE"])
            _abi.call("client_program", self._client, text, len(text))
            self._programs.append(text.value.decode())

    def outstanding(self) -> int:
        """The number of commands that still have to be answered."""
        return _abi.lib.vuc_client_outstanding(self._client)

    def failure(self, code: str, text: str = "", *, sent: Sent | None = None, allowed: str = "",
                came: str = "") -> Failure:
        """A Failure with the exchanges of this connection behind it; to be raised."""
        return Failure(code, text, sent=sent.text() if sent else "", allowed=allowed, came=came,
                       before=self._before(sent))

    def _before(self, sent: Sent | None) -> list[str]:
        rows = list(self._trace)
        for index, row in enumerate(rows):
            if row[2] is sent:
                rows = rows[:index]
                break
        return [_trace_line(*row) for row in rows[-BEFORE_LINES:]]

    # ---- sending ----

    def _take_id(self) -> int:
        taken = self._next_id
        self._next_id = taken % (HEADER["id"].limit - 1) + 1
        return taken

    def send(self, what: Message | str, fds: Iterable[Any] = (), *,
             parts: Sequence[tuple[int, int]] | None = None, paced: bool = False,
             maybe: bool = False, channel: int = MAIN, **fields: Any) -> Sent:
        """Send one message with the next id, or with the one that its header gives.

        fds: numbers or objects with fileno(), the caller's still. parts: pieces (end, nfds) that
        go by a sendmsg each; paced: wait until the server has read one before the next. maybe: it
        need not be answered. A server that has closed is a Failure unless `maybe`.
        """
        one = _message_of(what, fields)
        header = one.header_values(one.header["id"] if "id" in one.header else self._take_id())
        image = encode(HEADER, HEADER_SIZE, header) + one.payload
        return self._transmit(one, image, header, fds, parts, paced, maybe, channel)

    def send_bytes(self, image: bytes, fds: Iterable[Any] = (), *,
                   parts: Sequence[tuple[int, int]] | None = None, paced: bool = False,
                   maybe: bool = True, channel: int = MAIN) -> Sent:
        """Send bytes as they are, be they no message, a part of one, or several."""
        header = {"id": 0, "command": 0, "msg_size": 0, **decode(HEADER, image)}
        return self._transmit(image, image, header, fds, parts, paced, maybe, channel)

    def _transmit(self, shown: Message | bytes, image: bytes, header: Mapping[str, int],
                  fds: Iterable[Any], parts: Sequence[tuple[int, int]] | None, paced: bool,
                  maybe: bool, channel: int) -> Sent:
        fds = list(fds)
        numbers = [one if isinstance(one, int) else one.fileno() for one in fds]
        flags = (_PACED if paced else 0) | (_MAYBE if maybe else 0)
        what = _send_struct(image, numbers, parts, channel, flags)
        result = _abi.lib.vuc_client_send(self._client, ctypes.byref(what))
        sent = Sent(shown, header["id"], header["command"], header["msg_size"] == len(image),
                    tuple(map(kind_of, fds)), closed=result == -EPIPE)
        self._trace.append(("->", sent.id, sent))
        if result == -ETIMEDOUT:
            raise self.failure("reply.missing", "the server does not read", sent=sent)
        if result == -EPIPE and not maybe:
            raise self.failure("reply.closed", sent=sent, allowed="to be read",
                               came="the connection was closed")
        _abi.check(0 if result == -EPIPE else result, "client_send")
        return sent

    # ---- receiving ----

    def _receive(self, ask: Callable[..., int], *arguments: Any) -> Received | int:
        # What came, or 0 when the server has closed, or a negative errno.
        out = _abi.pointers["vuc_message"]()
        result = ask(self._client, *arguments, ctypes.byref(out))
        if result <= 0:
            return result
        try:
            return self._received(out)
        finally:
            _abi.lib.vuc_message_free(out)

    def _received(self, pointer: Any) -> Received:
        row = pointer.contents
        header = SimpleNamespace(id=row.id, command=row.command, msg_size=row.msg_size,
                                 flags=row.flags, error=row.error)
        payload = ctypes.string_at(row.body, row.msg_size - HEADER_SIZE)
        fds = [Fd(_abi.call("message_take_fd", pointer, i)) for i in range(row.nfds)]
        for fd in fds:
            fd.kind = kind_of(fd.fileno())
        self._owned += fds
        if header.flags & TYPE != REPLY:
            kind: type[Received] = Request
        else:
            kind = Refusal if header.flags & ERROR else Reply
        came = kind(header, payload, fds, row.channel)
        self._trace.append(("<-", header.id, came))
        return came

    def _reply(self, sent: Sent, timeout: float | None) -> Any:
        wait = milliseconds(timeout)
        if not self.deaf:
            return self._receive(_abi.lib.vuc_client_recv_reply, sent.id, sent.command, wait)
        got = self._receive(_abi.lib.vuc_client_recv, MAIN, wait)
        if isinstance(got, Received) and got.header.id != sent.id:
            raise self.failure("reply.field", sent=sent, allowed="its reply", came=got.text())
        return got

    def _came(self, got: Received | int, sent: Sent | None, allowed: str) -> Received:
        # A message, or the Failure that its absence is.
        if isinstance(got, Received):
            return got
        words = {"sent": sent, "allowed": allowed}
        if got == 0:
            raise self.failure("reply.closed", **words, came="the connection was closed")
        if got == -ETIMEDOUT:
            raise self.failure("reply.missing", **words, came="nothing")
        if got == -EPROTO:
            raise self.failure("channel.framing", **words, came="bytes that are no message")
        raise OSError(-got, f"client_recv: {os.strerror(-got)}")

    def receive(self, timeout: float | None = None, channel: int = MAIN) -> Received | None:
        """The next message, whatever it is; None when nothing comes. A closed connection and lost
        framing are Failures."""
        got = self._receive(_abi.lib.vuc_client_recv, channel, milliseconds(timeout))
        return None if got == -ETIMEDOUT else self._came(got, None, "a message")

    def reply(self, sent: Sent, timeout: float | None = None, *,
              allowed: str = "a reply") -> Reply | Refusal:
        """The reply to what was sent, be it success or error. Failure when there is none."""
        return self._came(self._reply(sent, timeout), sent, allowed)

    def take_request(self, timeout: float | None = None) -> Request:
        """The next command that the server sends, on any channel."""
        got = self._receive(_abi.lib.vuc_client_recv_request, milliseconds(timeout))
        return self._came(got, None, "a command of the server")

    def pending_reply(self, sent: Sent) -> Reply | Refusal | None:
        """The reply to what was sent if it has come already; None if not."""
        got = self._reply(sent, 0)
        return None if got == -ETIMEDOUT else self._came(got, sent, "a reply")

    def pending_request(self) -> Request | None:
        """A command that the server has sent already, on any channel; None when there is none."""
        if self.deaf:
            return None
        got = self._receive(_abi.lib.vuc_client_recv_request, 0)
        return None if got == -ETIMEDOUT else self._came(got, None, "a command of the server")

    def answer(self, request: Request, *, data: bytes = b"", errno: int | None = None,
               header: Mapping[str, int] | None = None, **fields: int | str) -> Sent:
        """Answer a command of the server on the channel that it came by.

        Fields that request and reply share are echoed unless given; `errno` makes it an error
        reply; `header` overrides fields of the header. Without a row of the schema the payload is
        the data.
        """
        own = request.header
        row = BY_NUMBER.get(own.command)
        payload = data if errno is None else b""
        if row is not None and errno is None:
            values = {key: value for key, value in request.values.items() if key in row.reply}
            payload = reply_payload(own.command, values | fields, data)
        numbers = {"id": own.id, "command": own.command, "msg_size": HEADER_SIZE + len(payload),
                   "flags": REPLY | (0 if errno is None else ERROR), "error": errno or 0,
                   **(header or {})}
        image = encode(HEADER, HEADER_SIZE, numbers) + payload
        return self.send_bytes(image, channel=request.channel, maybe=False)

    # ---- questions ----

    def call(self, what: Message | str, fds: Iterable[Any] = (), *, timeout: float | None = None,
             **fields: Any) -> Reply:
        """Send and take the reply, which has to be a success with its whole structure."""
        sent = self.send(what, fds, **fields)
        return self.success(sent, timeout)

    def success(self, sent: Sent, timeout: float | None = None) -> Reply:
        """The reply to what was sent, which has to be a success with its whole structure."""
        reply = self.reply(sent, timeout, allowed="success")
        if not isinstance(reply, Reply):
            raise self.failure("reply.unexpected-error", sent=sent, allowed="success",
                               came=reply.text())
        size = sent.reply_size()
        if len(reply.payload) < size:
            raise self.failure("reply.field", sent=sent, came=reply.text(),
                               allowed=f"a payload of at least {size} bytes")
        return reply

    def refuse(self, what: Message | str, fds: Iterable[Any] = (), *,
               errno: int | Collection[int] | None = None, timeout: float | None = None,
               **fields: Any) -> Refusal:
        """Send and take the reply, which has to be an error (with one of `errno`)."""
        sent = self.send(what, fds, **fields)
        return self.refusal(sent, errno, timeout)

    def refusal(self, sent: Sent, errno: int | Collection[int] | None = None,
                timeout: float | None = None) -> Refusal:
        """The reply to what was sent, which has to be an error. An error field of 0 gives no
        reason and is always right but where EEXIST is due (HDR-ERR-002)."""
        allowed = _errnos(errno)
        words = " or ".join(f"error {errno_text(n)}" for n in sorted(allowed or ())) or "error"
        reply = self.reply(sent, timeout, allowed=words)
        if not isinstance(reply, Refusal):
            raise self.failure("reply.unexpected-success", sent=sent, allowed=words,
                               came=reply.text())
        if allowed is None or reply.errno in allowed or (not reply.errno and allowed != {EEXIST}):
            return reply
        raise self.failure("reply.errno", sent=sent, allowed=words, came=reply.text())

    def outcome(self, what: Message | str | bytes, fds: Iterable[Any] = (), *,
                allowed: Collection[str] = ("success", "error"), **fields: Any) -> Outcome:
        """Send and find out how the server takes it; what is not `allowed` is a Failure.

        Silence is shown by a barrier behind it where there can be one, else by the short duration.
        """
        unknown = set(allowed) - set(OUTCOMES)
        if unknown:
            raise TypeError(f"no outcome {sorted(unknown)[0]!r}")
        maybe = "silence" in allowed or "close" in allowed
        if isinstance(what, bytes):
            sent = self.send_bytes(what, fds, maybe=maybe, **fields)
        else:
            sent = self.send(what, fds, maybe=maybe, **fields)
        outcome = self._observe(sent, "silence" in allowed)
        if outcome.kind in allowed:
            return outcome
        raise self.failure(_OUTCOME_CODES[outcome.kind], sent=sent, came=outcome.text(),
                           allowed=" or ".join(word for word in OUTCOMES if word in allowed))

    def _observe(self, sent: Sent, silence: bool) -> Outcome:
        if sent.closed or not silence:
            got = self._reply(sent, None)
        elif self.negotiated is not None and sent.whole:
            got = self._reply_before_barrier(sent)
        else:
            got = self._reply(sent, short())
        if got == 0 or (sent.closed and not isinstance(got, Received)):
            return Outcome("close")
        if got == -ETIMEDOUT:
            return Outcome("silence")
        reply = self._came(got, sent, "")
        return Outcome("error" if isinstance(reply, Refusal) else "success", reply)

    def _reply_before_barrier(self, sent: Sent) -> Any:
        barrier = self.send("DEVICE_GET_INFO", maybe=True)
        if not barrier.closed:
            got = self._reply(barrier, None)
            if got != 0:
                self._came(got, barrier, "a reply, or a closed connection")
        return self._reply(sent, 0)

    def barrier(self) -> Reply:
        """A round trip: what was sent before has been processed when this returns."""
        return self.call("DEVICE_GET_INFO")

    def expect_silence(self) -> None:
        """Nothing has come and nothing comes: shown by a barrier, or before the negotiation by
        the short duration."""
        wait = short() if self.negotiated is None else 0.0
        if self.negotiated is not None:
            self.barrier()
        got = self._receive(_abi.lib.vuc_client_recv, MAIN, milliseconds(wait))
        if got == -ETIMEDOUT:
            return
        came = self._came(got, None, "silence")
        raise self.failure("reply.unexpected", allowed="silence", came=came.text())

    def expect_close(self, sent: Sent | None = None, timeout: float | None = None) -> list[Refusal]:
        """The server closes the connection. Error replies may come before, and are returned; a
        successful reply to `sent` (None: to anything) is a Failure."""
        came: list[Refusal] = []
        while True:
            got = self._receive(_abi.lib.vuc_client_recv, MAIN, milliseconds(timeout))
            if got == 0:
                return came
            if got == -ETIMEDOUT:
                raise self.failure("channel.not-closed", sent=sent, came="nothing",
                                   allowed="a closed connection")
            one = self._came(got, sent, "a closed connection")
            if isinstance(one, Refusal):
                came.append(one)
            elif isinstance(one, Reply) and (sent is None or sent.answered_by(one)):
                raise self.failure("reply.unexpected-success", sent=sent, came=one.text(),
                                   allowed="a closed connection, or an error before it")

    # ---- negotiation ----

    def version(self, major: int = 0, minor: int = 0, capabilities: Any = DEFAULT) -> Message:
        """The VERSION message with these capabilities: a dict, None for no version data, bytes."""
        return message("VERSION", major=major, minor=minor, data=capabilities_bytes(capabilities))

    def negotiate(self, major: int = 0, minor: int = 0, capabilities: Any = DEFAULT) -> Reply:
        """Negotiate, which has to succeed. Fills in `negotiated` and `limits`, and takes over the
        twin socket if one came."""
        self.announce(capabilities)
        return self.negotiated_by(self.call(self.version(major, minor, capabilities)))

    def announce(self, capabilities: Any) -> None:
        """Tell the envelope checker how many descriptors these capabilities let the server send."""
        offered = capabilities if isinstance(capabilities, Mapping) else {}
        number = offered.get("max_msg_fds", constants.DEFAULTS.MAX_MSG_FDS)
        if isinstance(number, int) and 0 <= number < 1 << 32:
            _abi.lib.vuc_client_set_max_fds(self._client, number)

    def negotiated_by(self, reply: Reply) -> Reply:
        """Take the results of a negotiation from its reply; returns the reply."""
        try:
            found = capabilities_of(reply.data)
        except (ValueError, RecursionError) as error:
            text = f"version data: {error}"
            raise self.failure("reply.field", text, came=reply.text()) from error
        self.negotiated = found
        self.limits = Limits(**{
            name: found[name] for name in Limits.__dataclass_fields__
            if isinstance(found.get(name), int)
        })
        self._take_twin(reply, found.get("twin_socket"))
        self._take_viommu(found.get("viommu"))
        return reply

    def _take_viommu(self, answer: Any) -> None:
        if isinstance(answer, dict):
            self.viommu = answer
        pages = self.viommu.get("page_requests", 0)
        if isinstance(pages, int) and 0 < pages < 1 << 32:
            _abi.lib.vuc_client_set_page_requests(self._client, pages)

    def _take_twin(self, reply: Reply, answer: Any) -> None:
        if not isinstance(answer, dict) or answer.get("supported") is not True:
            return
        index = answer.get("fd_index", 0)
        if not isinstance(index, int) or not 0 <= index < len(reply.fds):
            raise self.failure("reply.field", "twin_socket without its descriptor",
                               came=reply.text())
        fd = reply.fds[index]
        _abi.call("client_adopt_twin", self._client, fd.fileno())
        fd.take()
        self.twin = True


_OUTCOME_CODES = {
    "success": "reply.unexpected-success",
    "error": "reply.unexpected-error",
    "close": "reply.closed",
    "silence": "reply.missing",
}


def _message_of(what: Message | str, fields: Mapping[str, Any]) -> Message:
    if isinstance(what, str):
        return message(what, **fields)
    return what.replace(**fields) if fields else what


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _trace_line(direction: str, message_id: int, one: Any) -> str:
    return f"{direction} #{message_id} {one.text()}"


def _send_struct(image: bytes, numbers: list[int], parts: Sequence[tuple[int, int]] | None,
                 channel: int, flags: int) -> Any:
    what = _abi.types["vuc_send"]()
    what.bytes = ctypes.cast(ctypes.c_char_p(image), ctypes.c_void_p)
    what.size = len(image)
    if numbers:
        what.fds = (ctypes.c_int32 * len(numbers))(*numbers)
        what.nfds = len(numbers)
    if parts:
        what.parts = (_abi.types["vuc_part"] * len(parts))(*parts)
        what.nparts = len(parts)
    what.channel = channel
    what.flags = flags
    what.timeout_ms = milliseconds(None)
    return what
