"""Why a TCP socket cannot be kept: what the kernel would neither tell nor let anybody set."""

from __future__ import annotations

from replant.abi import inet, libc, poll, socket, x86_64
from replant.resources.shared.refusal import refuse
from replant.resources.shared.tcp_diag import Diag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.errors import Blocker
    from replant.resources.protocol import FileFacts

_TCP_AO_INFO, _AO_INFO_SIZE = 40, 72
_EINVAL = 22


def why(f: FileFacts) -> Blocker | None:
    """The first thing about a socket that cannot be kept, if there is one."""
    fd = f.grab()
    if layered := socket.get(fd, inet.IPPROTO_TCP, inet.TCP_ULP, 16):
        name = layered.rstrip(b"\0").decode()
        return refuse(f, f"the protocol {name} stands on top of it", "do without it", f"tcp-{name}")
    events = poll.poll_now(fd, poll.POLLPRI)
    if events & poll.POLLPRI:
        return refuse(f, "urgent data is unread", "let the program read it (MSG_OOB)", "tcp-urgent")
    if events & poll.POLLERR:
        return refuse(f, "an error is pending on it (SO_ERROR, or its error queue)", "let the program read it", "error")
    if socket.number(fd, socket.SOL_SOCKET, socket.SO_PEEK_OFF) >= 0:
        return refuse(f, "it has a peek offset (SO_PEEK_OFF)", "set it to -1 before the dump", "peek-offset")
    if _signs(fd):
        return refuse(f, "its segments are signed (MD5 or AO)", "close it before the dump", "tcp-signed")
    if _has_saved_syn(fd):
        return refuse(f, "it has a saved SYN", "let the program read it (TCP_SAVED_SYN)", "tcp-saved-syn")
    if socket.number(fd, socket.SOL_SOCKET, socket.SO_ZEROCOPY) and _is_connected(fd):
        what = "it sends without copying (SO_ZEROCOPY), and the count of its notifications cannot be set"
        return refuse(f, what, "close it before the dump", "tcp-zero-copy")
    return None


def _is_connected(fd: int) -> bool:
    return bool(socket.name(fd, x86_64.getpeername))


def _signs(fd: int) -> bool:
    info, length = bytearray(_AO_INFO_SIZE), bytearray(_AO_INFO_SIZE.to_bytes(4, "little"))
    if libc.syscall_raw(x86_64.getsockopt, fd, inet.IPPROTO_TCP, _TCP_AO_INFO, info, length) == 0:
        return True
    local, peer = socket.name(fd), socket.name(fd, x86_64.getpeername)
    with Diag() as diag:
        return inet.port(local) != 0 and diag.signs(local, peer or bytes(len(local)))


def _has_saved_syn(fd: int) -> bool:
    """Asked with no room for it, the kernel tells its length and keeps it."""
    length = bytearray(4)
    answer = libc.syscall_raw(x86_64.getsockopt, fd, inet.IPPROTO_TCP, inet.TCP_SAVED_SYN, None, length)
    return answer == -_EINVAL and any(length)
