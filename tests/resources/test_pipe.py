from __future__ import annotations

import fcntl
import os
import select
from contextlib import suppress

import pytest
from facts import World, module_of
from hypothesis import given, settings
from hypothesis import strategies as st

from replant.errors import Blocker

SIZES = st.sampled_from([4096, 65536, 1 << 20])


def drain(fd: int) -> bytes:
    os.set_blocking(fd, False)
    found = b""
    with suppress(BlockingIOError):
        while chunk := os.read(fd, 1 << 20):
            found += chunk
    return found


@settings(deadline=None)
@given(writes=st.lists(st.binary(min_size=1, max_size=5000), max_size=20), size=SIZES)
def test_every_byte_in_order(writes: list[bytes], size: int) -> None:
    with World() as world:
        r, w = os.pipe()
        fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, size)
        os.set_blocking(w, False)
        sent = b""
        for data in writes:
            with suppress(BlockingIOError):
                sent += data[: os.write(w, data)]
        os.set_blocking(w, True)
        files, new = world.again("pipe", r, w)
        world.unchanged(files, new)
        assert fcntl.fcntl(new[0], fcntl.F_GETPIPE_SZ) == size
        os.write(new[1], b"") if len(sent) == size else None
        assert drain(new[0]) == sent


def test_reading_for_a_dump_takes_nothing_out(world: World) -> None:
    r, w = map(world.own, os.pipe())
    os.write(w, b"data")
    world.read("pipe", r, w)
    world.read("pipe", r, w)
    assert os.read(r, 100) == b"data"


def test_full_pipe_stays_full(world: World) -> None:
    r, w = os.pipe()
    os.set_blocking(w, False)
    assert os.write(w, b"x" * 65536) == 65536
    files, (r, w) = world.again("pipe", r, w)
    world.unchanged(files, [r, w])
    with pytest.raises(BlockingIOError):
        os.write(w, b"y")
    assert len(drain(r)) == 65536


@settings(deadline=None)
@given(packets=st.lists(st.binary(min_size=1, max_size=4096), min_size=1, max_size=16))
def test_packets(packets: list[bytes]) -> None:
    with World() as world:
        r, w = os.pipe2(os.O_DIRECT)
        for packet in packets:
            os.write(w, packet)
        files, (r, w) = world.again("pipe", r, w)
        world.unchanged(files, [r, w])
        os.write(w, b"one more") if len(packets) < 16 else packets.append(b"")
        got = [os.read(r, 4096) for _ in packets if _]
        assert got == [p for p in packets if p]


def test_writer_closed_everywhere_means_end_of_file(world: World) -> None:
    r, w = os.pipe()
    os.write(w, b"last words")
    os.close(w)
    files, (r,) = world.again("pipe", r)
    world.unchanged(files, [r])
    assert [os.read(r, 100), os.read(r, 100)] == [b"last words", b""]


def test_reader_closed_everywhere_means_broken_pipe(world: World) -> None:
    r, w = os.pipe()
    os.write(w, b"unread")
    os.close(r)
    files, (w,) = world.again("pipe", w)
    world.unchanged(files, [w])
    assert [(c.data, c.packet) for c in files[0].state.chunks] == [(b"unread", False)]
    with pytest.raises(BrokenPipeError):
        os.write(w, b"x")


def test_separate_opens_of_one_end_keep_their_flags(world: World) -> None:
    r, w = os.pipe()
    os.write(w, b"ab")
    again = os.open(f"/proc/self/fd/{r}", os.O_RDONLY | os.O_NONBLOCK)
    both = os.open(f"/proc/self/fd/{r}", os.O_RDWR)
    files, new = world.again("pipe", r, w, again, both)
    world.unchanged(files, new)
    assert len({os.fstat(fd).st_ino for fd in new}) == 1
    assert [os.read(new[0], 1), os.read(new[2], 1)] == [b"a", b"b"]
    os.write(new[3], b"c")
    assert os.read(new[0], 1) == b"c"


def test_standard_descriptors_of_the_restorer_are_untouched(world: World) -> None:
    before = [os.fstat(fd) for fd in (0, 1, 2)]
    count = len(os.listdir("/proc/self/fd"))
    world.again("pipe", *os.pipe())
    assert [(s.st_dev, s.st_ino) for s in map(os.fstat, (0, 1, 2))] == [(s.st_dev, s.st_ino) for s in before]
    assert len(os.listdir("/proc/self/fd")) == count + 2


@pytest.mark.parametrize("end", [0, 1])
def test_the_other_end_outside_is_refused(world: World, end: int) -> None:
    pipe = list(map(world.own, os.pipe()))
    files = world.read("pipe", pipe[end])
    with pytest.raises(Blocker, match=r"pipe:\[\d+\] leads to a process outside"):
        module_of("pipe").complete(files)
    with pytest.raises(Blocker):
        world.make(files)


def test_outside_as_if_closed_on_request() -> None:
    with World(outside="close") as world:
        r, _ = map(world.own, os.pipe())
        (new,) = world.make(world.read("pipe", r))
        assert select.select([new], [], [], 0)[0]
        assert os.read(new, 1) == b""


def test_outside_is_standard_output_of_the_restorer_on_request() -> None:
    with World(outside="stdio") as world:
        _, w = map(world.own, os.pipe())
        kept = world.own(os.dup(1))
        files = world.read("pipe", w)
        with pytest.raises(Blocker):
            world.make(files)
        as_stdout = [f._replace(state=f.state._replace(stdio=1)) for f in files]
        (new,) = world.make(as_stdout)
        assert os.path.sameopenfile(new, kept)


def test_packets_behind_other_bytes_are_refused(world: World) -> None:
    r, w = map(world.own, os.pipe())
    os.write(w, b"b" * 4096)  # a whole page: into one that is not full the kernel would put the packet
    fcntl.fcntl(w, fcntl.F_SETFL, os.O_DIRECT)
    os.write(w, b"packet")
    with pytest.raises(Blocker, match="packets stand behind"):
        world.read("pipe", r, w)
    assert os.read(r, 5000) == b"b" * 4096 + b"packet"


def test_a_notification_pipe_is_refused(world: World) -> None:
    try:
        r, w = map(world.own, os.pipe2(os.O_EXCL))  # O_NOTIFICATION_PIPE
    except OSError as error:
        pytest.skip(f"here: {error}")
    with pytest.raises(Blocker, match="notification pipe"):
        world.read("pipe", r, w)
