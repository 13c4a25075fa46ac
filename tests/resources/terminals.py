"""A program with pseudo-terminals of each sort named on its command line; it checks that they go on as they were."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import stat
import struct
import sys
import termios
import traceback
import tty
from collections.abc import Callable
from typing import Any

import selfcheck

from replant.abi import tty as abi
from replant.abi import x86_64
from replant.abi.libc import syscall

Check = Callable[[], None]

#: that none of these comes is part of every check; SIGINT is sent by the checks themselves
UNWANTED = (signal.SIGHUP, signal.SIGCONT, signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP, signal.SIGQUIT)
came: dict[int, int] = {}


def watch() -> None:
    """Count the signals of terminals."""
    for number in (*UNWANTED, signal.SIGINT, signal.SIGWINCH):
        signal.signal(number, lambda n, _: came.__setitem__(n, came.get(n, 0) + 1))


class Actor:
    """A child that evaluates what it is told, and is heard: for what only a process in a certain place can do."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        (commands, self.commands), (self.answers, answers) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.commands)
                os.close(self.answers)
                came.clear()
                before()
                self._listen(commands, answers)
            finally:
                os._exit(1)
        os.close(commands)
        os.close(answers)
        self.does("0")

    def _listen(self, commands: int, answers: int) -> None:
        names = dict(globals())
        while command := os.read(commands, 4096).decode():
            try:
                exec(command, names) if command.startswith("\n") else None
                result = None if command.startswith("\n") else eval(command, names)
            except Exception as error:
                result = f"{type(error).__name__}: {error}"
            os.write(answers, repr(result).encode())

    def does(self, expression: str) -> Any:
        """The value of an expression in the child."""
        os.write(self.commands, expression.encode())
        return eval(os.read(self.answers, 4096).decode())

    def has_ended(self) -> None:
        """End it, and take it."""
        os.close(self.commands)
        os.waitpid(self.pid, 0)

    def heard_nothing(self) -> None:
        """No signal of a terminal has come."""
        unwanted = self.does("{n: c for n, c in came.items() if n in UNWANTED}")
        assert unwanted == {}, f"{self.pid} got {unwanted}"


def raw_pair() -> tuple[int, int]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    return master, slave


def settings() -> Check:
    """Number, settings, size, owner and mode of a pair; lock, packet and exclusive mode."""
    spare = [pty.openpty() for _ in range(2)]
    master, slave = pty.openpty()
    for pair in spare:
        os.close(pair[0])
        os.close(pair[1])
    name = os.ttyname(slave)
    mode = termios.tcgetattr(slave)
    mode[6][termios.VINTR] = b"\x07"
    mode[4] = mode[5] = termios.B9600
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    mode = termios.tcgetattr(slave)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 31, 97, 5, 7))
    os.fchown(slave, 12, 34)
    os.fchmod(slave, 0o602)
    fcntl.ioctl(master, abi.TIOCSPTLCK, struct.pack("i", 1))
    fcntl.ioctl(master, abi.TIOCPKT, struct.pack("i", 1))
    fcntl.ioctl(slave, abi.TIOCEXCL)

    def check() -> None:
        assert os.ttyname(slave) == name and os.readlink(f"/proc/self/fd/{slave}") == name
        assert number(master, abi.TIOCGPTN) == int(os.path.basename(name))
        assert termios.tcgetattr(slave) == mode == termios.tcgetattr(master)
        assert fcntl.ioctl(slave, termios.TIOCGWINSZ, bytes(8)) == struct.pack("4H", 31, 97, 5, 7)
        found = os.stat(name)
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12, 34, 0o602)
        assert number(master, abi.TIOCGPTLCK) == 1 and number(master, abi.TIOCGPKT) == 1
        assert number(slave, abi.TIOCGEXCL) == 1 and number(master, abi.TIOCGEXCL) == 0
        os.write(slave, b"x")
        assert os.read(master, 10) == b"\0x"

    return check


def number(fd: int, request: int) -> int:
    (value,) = struct.unpack("i", fcntl.ioctl(fd, request, bytes(4)))
    return int(value)


def unread() -> Check:
    """Bytes on their way in both directions."""
    master, slave = raw_pair()
    every = bytes(range(256))

    def check() -> None:
        assert read_all(slave, 256) == every and read_all(master, 257) == every[::-1] + b"!"
        fill()

    def fill() -> None:
        os.write(master, every)
        os.write(slave, every[::-1] + b"!")

    fill()
    return check


def read_all(fd: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        assert select.select([fd], [], [], 10)[0], data
        data += os.read(fd, count - len(data))
    return data


def lines() -> Check:
    """Lines, an end of file, a literal newline, a line that ends by VEOL, and one that has not ended yet."""
    master, slave = pty.openpty()
    mode = termios.tcgetattr(slave)
    mode[3] &= ~termios.ECHO
    mode[6][termios.VEOL] = b"#"
    termios.tcsetattr(slave, termios.TCSANOW, mode)

    def check() -> None:
        assert os.read(slave, 100) == b"one\n"
        assert os.read(slave, 100) == b"to the end"
        assert os.read(slave, 100) == b"\x04lit\neral\x16#"
        assert os.read(slave, 100) == b""
        assert not select.select([slave], [], [], 0)[0]
        os.write(master, b"\x7fer\n")
        assert os.read(slave, 100) == b"unfinisher\n"
        fill()

    def fill() -> None:
        os.write(master, b"one\nto the end\x04\x16\x04lit\x16\neral\x16\x16#\x04unfinished\x7f")
        wait_for(slave, len("one\nto the end\x04lit\neral\x16#"))  # ends of file are not counted

    fill()
    return check


def wait_for(slave: int, count: int) -> None:
    """Until the kernel has taken complete lines of so many bytes from the master's side, and what follows them."""
    while number(slave, termios.FIONREAD) < count:
        select.select([], [], [], 0.001)
    settle()


def settle() -> None:
    """The kernel hands input on by a thread of its own; what is behind a line comes with it or a moment later."""
    select.select([], [], [], 0.05)


def literal() -> Check:
    """VLNEXT has been typed, and not yet what it is for."""
    master, slave = pty.openpty()
    os.write(master, b"a\x16")
    settle()

    def check() -> None:
        os.write(master, b"\x03\n")
        assert os.read(slave, 10) == b"a\x03\n"
        os.read(master, 100)
        os.write(master, b"a\x16")
        settle()

    return check


def full() -> Check:
    """As much as the kernel takes, both ways."""
    master, slave = raw_pair()
    for fd in (master, slave):
        os.set_blocking(fd, False)
    wrote = {fd: stuff(fd) for fd in (master, slave)}

    def check() -> None:
        for fd, other in ((master, slave), (slave, master)):
            data = read_all(other, wrote[fd])
            assert data == pattern(len(data)), f"{len(data)} of {wrote[fd]} bytes"
            wrote[fd] = stuff(fd)

    return check


def pattern(count: int) -> bytes:
    return b"".join(i.to_bytes(4, "little") for i in range(count // 4 + 1))[:count]


def stuff(fd: int) -> int:
    """Write until it takes no more, now and a moment later; how many bytes."""
    data, wrote = pattern(1 << 16), 0
    for _ in range(2):
        try:
            while True:
                wrote += os.write(fd, data[wrote : wrote + 1000])
        except BlockingIOError:
            settle()
    return wrote


def stopped() -> Check:
    """Output stopped by ^S, and by a call, each only let go on by its like."""
    pairs = [pty.openpty() for _ in range(2)]
    (master, slave), (other, called) = pairs
    os.write(master, b"\x13")
    settle()
    termios.tcflow(called, termios.TCOOFF)

    def check() -> None:
        for s in (slave, called):
            assert not select.select([], [s], [], 0)[1], "it goes on by itself"
        os.write(other, b"\x11")
        settle()
        assert not select.select([], [called], [], 0)[1], "a key lets a call go on"
        termios.tcflow(called, termios.TCOON)
        os.write(master, b"\x11")
        assert select.select([], [slave], [], 10)[1] and select.select([], [called], [], 10)[1]
        os.write(master, b"\x13")
        settle()
        termios.tcflow(called, termios.TCOOFF)

    return check


def slaves() -> Check:
    """Several opens of one slave, by name and through the master, and a master that a child has inherited."""
    master, slave = raw_pair()
    peer = syscall(x86_64.ioctl, master, abi.TIOCGPTPEER, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    writer = os.open(os.ttyname(slave), os.O_WRONLY | os.O_NOCTTY)
    heir = Actor()

    def check() -> None:
        assert os.ttyname(peer) == os.ttyname(slave) == os.ttyname(writer)
        assert fcntl.fcntl(peer, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_NONBLOCK) == os.O_NONBLOCK
        assert fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        os.write(writer, b"out")
        assert heir.does(f"os.read({master}, 10)") == b"out"
        heir.does(f"os.write({master}, b'in')")
        assert read_all(peer, 2) == b"in"

    return check


def instances() -> Check:
    """Pairs of another instance of devpts, with the number of a usual one, and their own names."""
    os.mkdir("pts")
    syscall(x86_64.mount, b"devpts\0", b"pts\0", b"devpts\0", 0, b"newinstance,ptmxmode=0666\0")
    master = os.open("pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, abi.TIOCSPTLCK, bytes(4))
    name = f"{os.getcwd()}/pts/{number(master, abi.TIOCGPTN)}"
    slave = os.open(name, os.O_RDWR | os.O_NOCTTY)
    usual = raw_pair()
    tty.setraw(slave)

    def check() -> None:
        assert os.readlink(f"/proc/self/fd/{slave}") == name
        for one, other in ((master, slave), usual):
            os.write(one, name.encode())
            assert read_all(other, len(name)) == name.encode()

    return check


def unopened() -> Check:
    """A master whose slave nobody has opened yet: it waits, whereas one whose slave is closed again is told."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    left, slave = pty.openpty()
    os.close(slave)

    def check() -> None:
        poll = select.poll()
        poll.register(master, select.POLLIN)
        assert poll.poll(0) == []
        poll.register(left, select.POLLIN)
        assert poll.poll(0) == [(left, select.POLLHUP)]

    return check


def hung_up() -> Check:
    """Slaves whose master is closed; and such as were hung up alone, next to one opened afterwards."""
    master, slave = pty.openpty()
    again = os.open(os.ttyname(slave), os.O_RDONLY | os.O_NOCTTY)
    os.close(master)
    living, hung = pty.openpty()
    fcntl.ioctl(hung, abi.TIOCVHANGUP)
    fresh = os.open(os.readlink(f"/proc/self/fd/{hung}"), os.O_RDWR | os.O_NOCTTY)
    tty.setraw(fresh)

    def check() -> None:
        for fd in (slave, again, hung):
            assert os.read(fd, 1) == b""
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            assert poll.poll(0)[0][1] & select.POLLHUP
        for fd in (slave, hung):
            fails(lambda fd=fd: os.write(fd, b"x"), "Input/output")
        os.write(fresh, b"x")
        assert os.read(living, 1) == b"x"

    return check


def fails(act: Callable[[], object], how: str) -> None:
    try:
        act()
    except OSError as error:
        assert how in str(error), error
    else:
        raise AssertionError(f"no {how}")


def session(master: int, slave: int, *, keep: bool = True) -> Actor:
    """A child that leads a session with a terminal, with the slave as standard input or without it."""

    def before() -> None:
        os.close(master)
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        os.close(slave) if not keep else os.dup2(slave, 0)

    return Actor(before)


def controlling() -> Check:
    """Sessions with a terminal: a job in its foreground, one without a descriptor, one held by another session."""
    watch()
    master, slave = pty.openpty()
    shell = session(master, slave)
    shell.does("\njob = Actor(lambda: os.setpgid(0, 0))")
    shell.does("\nbackground = Actor(lambda: os.setpgid(0, 0))")
    shell.does("\nwithout = Actor(lambda: fcntl.ioctl(0, termios.TIOCNOTTY))")
    shell.does("\nelsewhere = Actor(lambda: os.setsid())")
    shell.does("os.tcsetpgrp(0, job.pid)")
    shell.does("\nown = os.open('/dev/tty', os.O_RDWR)")
    blind_master, blind_slave = pty.openpty()
    blind = session(blind_master, blind_slave, keep=False)
    os.close(blind_slave)
    interrupts = 0

    def check() -> None:
        nonlocal interrupts
        job, leader = shell.does("job.pid"), shell.pid
        assert shell.does("os.tcgetpgrp(0)") == job and shell.does("number(0, 0x5429)") == leader  # TIOCGSID
        assert os.tcgetpgrp(master) == job
        assert shell.does("os.tcgetpgrp(own)") == job
        assert shell.does("os.readlink(f'/proc/self/fd/{own}')") == "/dev/tty"
        interrupts += 1
        os.write(master, b"\x03")
        wait = f"any(came.get(2, 0) >= {interrupts} or select.select([], [], [], 0.01)[0] for _ in range(1000))"
        assert shell.does(f"job.does({wait!r})"), "^C does not reach the foreground"
        assert shell.does("came.get(2, 0)") == 0 and shell.does("background.does('came.get(2, 0)')") == 0
        for name in ("without", "elsewhere"):
            assert "No such device" in shell.does(f"{name}.does(\"os.open('/dev/tty', os.O_RDWR)\")")
        assert "Inappropriate" in shell.does("elsewhere.does('os.tcgetpgrp(0)')")
        assert shell.does("background.does('os.tcgetpgrp(0)')") == job
        blind.does("\nfd = os.open('/dev/tty', os.O_RDWR)")
        assert blind.does("os.tcgetpgrp(fd)") == blind.pid
        blind.does("\nos.write(fd, b'seen'); os.close(fd)")
        assert os.read(blind_master, 10) == b"seen"
        for name in ("job", "background", "without", "elsewhere"):
            shell.does(f"{name}.heard_nothing()")
        shell.heard_nothing()
        blind.heard_nothing()

    return check


def gone() -> Check:
    """A foreground group whose last process has gone; and one whose number is that of a process in another group."""
    watch()
    master, slave = pty.openpty()
    shell = session(master, slave)
    shell.does("\njob = Actor(lambda: os.setpgid(0, 0))")
    shell.does("os.tcsetpgrp(0, job.pid)")
    shell.does("job.has_ended()")
    other_master, other_slave = pty.openpty()
    other = session(other_master, other_slave)
    other.does("\njob = Actor(lambda: os.setpgid(0, 0))")
    other.does("os.tcsetpgrp(0, job.pid)")
    other.does(f"job.does('os.setpgid(0, {other.pid})')")

    def check() -> None:
        for leader, terminal in ((shell, master), (other, other_master)):
            assert os.tcgetpgrp(terminal) == leader.does("job.pid") == leader.does("os.tcgetpgrp(0)")
            leader.heard_nothing()

    return check


def leaderless() -> Check:
    """A session whose leader has died, so that its terminal controls nobody."""
    syscall(x86_64.prctl, 36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: the orphan stays in the tree
    master, slave = raw_pair()
    shell = session(master, slave)
    shell.does("\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)")
    shell.does("\nchild = os.fork()\nwhile not child: signal.pause()")
    child = shell.does("child")
    shell.has_ended()

    def check() -> None:
        with open(f"/proc/{child}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        assert int(fields[3]) == shell.pid and fields[4] == "0"
        os.write(slave, b"x")
        assert os.read(master, 1) == b"x"

    return check


if __name__ == "__main__":
    watch()
    checks = [globals()[name]() for name in sys.argv[1:]]

    def check_all() -> None:
        for check in checks:
            try:
                check()
            except BaseException:
                traceback.print_exc()
                raise

    selfcheck.serve(check_all)
