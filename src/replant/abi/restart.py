"""What a tracer finds in rax of a task that was stopped in a system call (``include/linux/errno.h``)."""

from __future__ import annotations

from errno import EAGAIN, EINPROGRESS

from replant.abi import x86_64 as nr
from replant.abi.poll import POLLIN, POLLOUT
from replant.abi.ptrace import R8, R10, RDX

ERESTARTSYS = 512  # enter it again, if there is no handler or the handler has SA_RESTART
ERESTARTNOINTR = 513  # enter it again
ERESTARTNOHAND = 514  # enter it again, if there is no handler
ERESTART_RESTARTBLOCK = 516  # go on with restart_syscall(2), if there is no handler

RESTARTS = (ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK)

SYSCALL_SIZE = 2  # bytes of the ``syscall`` instruction, by which rip goes back

#: calls that fail with EINTR for any interruption, even a mere stop (signal(7)), and lose nothing when entered again;
#: those that work on sockets do so if the socket has a timeout
INTERRUPTED = frozenset(
    {
        *(nr.epoll_wait, nr.epoll_pwait, nr.epoll_pwait2, nr.rt_sigtimedwait, nr.semop, nr.semtimedop),
        *(nr.io_getevents, nr.io_pgetevents, nr.accept, nr.accept4, nr.connect),
        *(nr.recvfrom, nr.recvmsg, nr.recvmmsg, nr.read, nr.readv),
        *(nr.sendto, nr.sendmsg, nr.sendmmsg, nr.write, nr.writev),
    }
)

#: those of them that say how long they wait: where in user_regs_struct, and in how many ns (0: by a struct timespec)
TIMEOUTS = {
    nr.epoll_wait: (R10, 1_000_000),
    nr.epoll_pwait: (R10, 1_000_000),
    nr.epoll_pwait2: (R10, 0),
    nr.rt_sigtimedwait: (RDX, 0),
    nr.semtimedop: (R10, 0),
    nr.io_getevents: (R8, 0),
    nr.io_pgetevents: (R8, 0),
}

#: those of them that wait so long as SO_RCVTIMEO or SO_SNDTIMEO say: for what of poll(2), and what they give after that
SOCKET_WAITS = {
    **dict.fromkeys((nr.recvfrom, nr.recvmsg, nr.recvmmsg, nr.read, nr.readv, nr.accept, nr.accept4), (POLLIN, EAGAIN)),
    **dict.fromkeys((nr.sendto, nr.sendmsg, nr.sendmmsg, nr.write, nr.writev), (POLLOUT, EAGAIN)),
    nr.connect: (POLLOUT, EINPROGRESS),
}
