# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about VERSION share: offers, version data as it is, and what a reply may hold."""

from mapping import PAGE

from vuc import message

ANY = ("success", "error", "close")
REFUSED = ("error", "close")

TWIN = {"twin_socket": {"supported": True}}
LIMITS = {"max_dma_maps": 65535, "pgsizes": PAGE}


def version(data=b"", **fields):
    """A VERSION message with these bytes as version data."""
    return message("VERSION", data=data, **fields)


def text(words):
    """Version data with this text, and its NUL."""
    return words.encode() + b"\0"


def assert_serves(connection, outcome):
    """A connection whose VERSION had this outcome is a session, if it was a success."""
    if outcome.kind == "success":
        connection.negotiated_by(outcome.reply)
        connection.barrier()


def try_version(connect, data, allowed=ANY):
    """Offer this version data on a new connection; a success has to be one."""
    connection = connect(version=False)
    outcome = connection.outcome(version(data), allowed=allowed)
    assert_serves(connection, outcome)
    return connection, outcome


def assert_known_entries(capabilities):
    """Known capabilities have the types and ranges that the specification gives them."""
    for name in ("max_msg_fds", "max_data_xfer_size", "max_dma_maps", "pgsizes"):
        value = capabilities.get(name, 1)
        assert type(value) is int and value >= 0, f"{name} is {value!r}"
    assert capabilities.get("pgsizes", PAGE), "no page size at all"
    assert type(capabilities.get("write_multiple", False)) is bool
    twin = capabilities.get("twin_socket", {})
    assert isinstance(twin, dict)
    assert type(twin.get("supported", False)) is bool
    index = twin.get("fd_index", 0)
    assert type(index) is int and index >= 0
