# SPDX-License-Identifier: BSD-3-Clause
"""Backend program conventions: how the program of a server is started, runs, and ends."""

import json
import os
import shutil
import socket
from contextlib import closing
from pathlib import Path

import pytest
from exchanges import assert_sigterm_ends

from vuc import Failure, covers, message, needs, unknown
from vuc.duration import long, short
from vuc.session import Connection

LONGEST = 107  # bytes of the path of a socket
NOBODY = 65534
STANDARD = (0, 1, 2)
OPTION = "--socket-path"


# ---- how it is started ----


def program(target):
    """The words that start the server of a target, without those that say where it listens."""
    words = list(target.argv)
    for index, word in enumerate(words):
        if word == "{socket}" and index and words[index - 1] == OPTION:
            return words[: index - 1] + words[index + 1 :]
        if word == OPTION + "={socket}":
            return words[:index] + words[index + 1 :]
    return words


def by_shell(script, words):
    """The words that make a shell run the script, which executes "$@": the program itself."""
    return ["sh", "-c", script, "sh", *words]


def serves(connection):
    """Can a session be negotiated and used on that connection? Closes it."""
    with connection:
        try:
            connection.negotiate()
            connection.barrier()
        except Failure:
            return False
        return True


def assert_serves(target):
    """A new connection is served."""
    with target.negotiate() as session:
        session.barrier()


def refused_start(target):
    """Start a program that has to refuse its options: it ends with an error and tells why."""
    try:
        target.start()
    except Failure as failure:
        if failure.code != "server.exit":
            raise
    state = target.wait_exit()
    if state is None:
        raise Failure("effect", "the program runs in spite of its options")
    assert state.phase == "exited" and state.status != 0, state.text()
    assert target.log().strip(), "the program says nothing"


def status(pid, name):
    """A number of /proc/PID/stat: the parent or the session."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[{"parent": 1, "session": 3}[name]])


# ---- running ----


@covers("PROG-RUN-001")
@needs("process", "proc")
def test_program_does_not_daemonize(private_target):
    target = private_target()
    target.start()
    assert_serves(target)
    if target.sessions == "one":
        target.restart()
    pid = target.state.pid
    session = status(pid, "session")
    while status(pid, "parent") != os.getpid():
        assert status(pid, "parent") > 1, "the program has left its parent"
        pid = status(pid, "parent")
    assert session in (pid, status(pid, "session")), "the program has left its session"
    assert target.state.phase == "running"


def executable(word, place):
    """The path of a program that everybody may execute: where it is, else a copy in the place."""
    tree = Path(__file__).resolve().parents[1]
    path = Path(word if os.path.exists(word) else tree / word).resolve()
    if all(os.stat(one).st_mode & 0o001 for one in (path, *path.parents)):
        return path
    return Path(shutil.copy(path, place / "program"))


@pytest.fixture
def without_rights(private_target):
    """A server that runs as nobody, without environment, in a folder that it can not write to."""
    target = private_target()
    if os.geteuid() != 0 or not shutil.which("setpriv") or "/" not in target.argv[0]:
        pytest.skip("needs: root, setpriv and a program with a path, to run it without rights")
    place = Path(target.socket).parent
    (place / "empty").mkdir(mode=0o555)
    os.chown(place, NOBODY, NOBODY)
    target.argv = [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
        "env", "-i", "-C", str(place / "empty"), str(executable(target.argv[0], place)),
        *target.argv[1:],
    ]
    return target


@covers("PROG-RUN-002")
@needs("process")
def test_program_needs_no_rights_no_environment_and_no_files(without_rights):
    assert_serves(without_rights)


REDIRECTIONS = {
    "null": "</dev/null >/dev/null 2>/dev/null",
    "files": "<{place}/in >{place}/out 2>{place}/err",
    "one-file": "<{place}/in >{place}/out 2>&1",
    "pipes": "<{pipe} >{pipe} 2>{pipe}",
}


def annoy(target):
    """Make it log, if it logs anything: messages that are refused, and a client that leaves."""
    with target.negotiate() as session:
        for one in (unknown(99), message("DEVICE_GET_IRQ_INFO", index=0xFFFFFFFF)):
            session.outcome(one, allowed=("error", "success"))


@covers("PROG-RUN-003")
@needs("process", "proc")
@pytest.mark.parametrize("where", REDIRECTIONS)
def test_standard_descriptors_can_be_redirected_and_stay(private_target, where):
    target = private_target()
    place = Path(target.socket).parent
    (place / "in").touch()
    read, write = os.pipe()
    with open(read, "rb"), open(write, "wb"):
        pipe = f"/proc/{os.getpid()}/fd/{write}"
        places = REDIRECTIONS[where].format(place=place, pipe=pipe)
        target.argv = by_shell(f'exec "$@" {places}', target.argv)
        target.start()
        before = standard_files(target)
        annoy(target)
        if target.sessions != "one":
            assert standard_files(target) == before, "a standard descriptor was closed or reused"
            assert_serves(target)


def standard_files(target):
    """What the standard descriptors of the process refer to."""
    return [os.readlink(f"/proc/{target.state.pid}/fd/{number}") for number in STANDARD]


@covers("PROG-RUN-003")
@needs("process", "reconnect")
def test_program_survives_that_nobody_reads_its_log_any_more(private_target):
    read, write = os.pipe()
    with open(read, "rb") as reader, open(write, "wb") as writer:
        target = private_target()
        pipe = f"/proc/{os.getpid()}/fd/{writer.fileno()}"
        target.argv = by_shell(f'exec "$@" >{pipe} 2>{pipe}', target.argv)
        target.start()
        writer.close()
        reader.close()
        annoy(target)
        assert_serves(target)
        assert target.state.alive, target.state.text()


@covers("PROG-RUN-003")
@needs("process")
def test_output_is_text(private_target):
    target = private_target()
    target.start()
    annoy(target)
    text = target.log_path.read_bytes().decode()
    assert all(one.isprintable() or one.isspace() or one == "\x1b" for one in text), repr(text)


MOMENTS = ("idle", "connected", "negotiated", "in-a-header", "in-a-payload", "with-unread-replies")


def at_the_moment(target, moment):
    """A connection that is at that moment (None: there is none); the caller's."""
    if moment == "idle":
        return None
    connection = target.connect()
    if moment != "connected":
        connection.negotiate()
    one = message("DMA_MAP", flags="READ|WRITE", address=0x1000, size=0x1000).bytes(7)
    parts = {"in-a-header": one[:7], "in-a-payload": one[:30]}
    if moment in parts:
        connection.send_bytes(parts[moment])
    if moment == "with-unread-replies":
        for _ in range(100):
            connection.send("DEVICE_GET_INFO", maybe=True)
    return connection


@covers("PROG-RUN-004")
@needs("process")
@pytest.mark.parametrize("moment", MOMENTS)
def test_sigterm_ends_the_program(private_target, moment):
    target = private_target()
    target.start()
    connection = at_the_moment(target, moment)
    assert_sigterm_ends(target)
    if connection is not None:
        with connection:
            while connection.arrives() and ended(connection) is None:
                continue
            assert ended(connection), "the connection is open"


def ended(connection):
    """True once the connection has ended; None after one more message."""
    try:
        return None if connection.receive() else False
    except Failure as failure:
        return failure.code in ("reply.closed", "channel.framing")


# ---- options ----


@covers("PROG-OPT-001")
@needs("process", "socket_path_option")
def test_program_listens_on_its_socket_path(private_target):
    target = private_target()
    target.argv = [*program(target), OPTION + "={socket}"]
    assert not os.path.exists(target.socket)
    assert_serves(target)


def padded(path, size):
    """The same place, by a path of `size` bytes."""
    folder, name = os.path.split(path)
    room = size - len(path)
    return folder + "/." * (room // 2) + "/" * (room % 2 + 1) + name


@covers("PROG-OPT-001")
@needs("process", "socket_path_option")
def test_socket_path_may_have_107_bytes(private_target):
    target = private_target()
    path = padded(target.socket, LONGEST)
    assert len(path) == LONGEST
    target.argv = ["env", "PLACE={socket}", *program(target), f"{OPTION}={path}"]
    assert_serves(target)


@covers("PROG-OPT-001")
@needs("process", "socket_path_option")
@pytest.mark.parametrize("more", [1, 1000])
def test_longer_socket_path_is_refused_with_a_message(private_target, more):
    target = private_target()
    path = padded(target.socket, LONGEST + more)
    target.argv = ["env", "PLACE={socket}", *program(target), f"{OPTION}={path}"]
    refused_start(target)
    assert not os.path.exists(target.socket), "there is a socket in spite of it"


@covers("PROG-OPT-001")
@needs("process", "socket_path_option")
def test_socket_path_in_a_folder_that_is_not_there_is_refused_with_a_message(private_target):
    target = private_target()
    target.argv = ["env", "PLACE={socket}", *program(target), OPTION + "={socket}/s"]
    refused_start(target)


@covers("PROG-OPT-001")
@needs("process", "socket_path_option")
def test_socket_file_that_nobody_listens_on_is_replaced_or_refused(private_target):
    target = private_target()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as left:
        left.bind(target.socket)
    target.argv = [*program(target), OPTION + "={socket}"]
    try:
        target.start()
    except Failure as failure:
        if failure.code != "server.exit":
            raise
        refused_start(target)
    else:
        assert_serves(target)


@covers("PROG-OPT-001")
@needs("process", "socket_path_option")
def test_file_that_is_no_socket_is_neither_used_nor_lost(private_target):
    target = private_target()
    place = Path(target.socket).parent / "file"
    place.write_text("kept", encoding="ascii")
    target.argv = ["env", "PLACE={socket}", *program(target), f"{OPTION}={place}"]
    refused_start(target)
    assert place.read_text(encoding="ascii") == "kept"


@covers("PROG-OPT-001")
@needs("process", "socket_path_option", "reconnect")
def test_second_program_on_a_path_leaves_somebody_who_serves(private_target):
    first, second = private_target(), private_target()
    first.start()
    second.argv = ["env", "PLACE={socket}", *program(second), f"{OPTION}={first.socket}"]
    try:
        second.start(short())
    except Failure as failure:
        if failure.code not in ("server.exit", "server.unreachable"):
            raise
    assert_serves(first)


def by_listening_socket(target, place):
    """Is a session served on a listening socket that the program inherits?"""
    path = str(place / "l")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as ours:
        ours.bind(path)
        ours.listen()
        run_with(target, ours.fileno())
    try:
        return serves(Connection.connect(path))
    except OSError:
        return False


def by_connected_socket(target, _):
    """Is a session served on a connected socket that the program inherits?"""
    ours, theirs = socket.socketpair()
    with closing(theirs):
        run_with(target, theirs.fileno())
    served = serves(Connection.adopt(ours.detach()))
    state = target.wait_exit(long() / 5)
    if state is not None and served:
        assert (state.phase, state.status) == ("exited", 0), state.text()
    return served


def run_with(target, number):
    """Start the program with an inherited descriptor; it may refuse it."""
    target.fds = [number]
    target.argv = [*program(target), f"--fd={number}"]
    try:
        target.start()
    except Failure as failure:
        if failure.code != "server.exit":
            raise


@covers("PROG-OPT-002")
@needs("process", "fd_option")
def test_program_uses_an_inherited_socket(private_target):
    served = []
    for way in (by_connected_socket, by_listening_socket):
        target = private_target()
        served.append(way(target, Path(target.socket).parent))
        target.close()
    assert any(served), "neither a connected nor a listening socket is used"


@covers("PROG-OPT-003")
@needs("process", "fd_option", "socket_path_option")
@pytest.mark.parametrize("first", ["fd", "socket-path"])
def test_fd_and_socket_path_exclude_each_other(private_target, first):
    target = private_target()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as ours:
        ours.bind(str(Path(target.socket).parent / "l"))
        ours.listen()
        both = [f"--fd={ours.fileno()}", OPTION + "={socket}"]
        target.fds = [ours.fileno()]
        target.argv = [*program(target), *(both if first == "fd" else reversed(both))]
        refused_start(target)
    assert not os.path.exists(target.socket), "there is a socket in spite of it"


@covers("PROG-OPT-003")
@needs("process", "socket_path_option")
def test_program_refuses_to_run_without_a_socket(private_target):
    target = private_target()
    target.argv = program(target)
    refused_start(target)


@covers("PROG-OPT-003")
@needs("process", "fd_option")
@pytest.mark.parametrize("word", ["", "x", "-1", "3x", "99999", "4294967296"])
def test_fd_that_names_no_descriptor_is_refused(private_target, word):
    target = private_target()
    target.argv = [*program(target), f"--fd={word}"]
    refused_start(target)


@covers("PROG-OPT-003")
@needs("process", "fd_option")
@pytest.mark.parametrize("kind", ["file", "pipe", "null", "eventfd", "directory", "socket"])
def test_fd_that_is_no_connected_or_listening_socket_is_refused(private_target, fds, kind):
    target = private_target()
    number = fds.kind(kind).fileno()
    target.fds = [number]
    target.argv = [*program(target), f"--fd={number}"]
    refused_start(target)


# ---- description ----


@covers("PROG-JSON-001")
@needs("process", "installed")
def test_installed_program_comes_with_a_description(private_target):
    prefix = private_target().profile.prefix
    files = sorted((prefix / "share/vfio-user").glob("*.json"))
    assert files, "no description is installed"
    assert all(isinstance(json.loads(path.read_text(encoding="utf-8")), dict) for path in files)
