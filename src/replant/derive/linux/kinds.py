"""What hangs from the tasks of a tree, as kinds for the general solver: declarations only.

Sources: namespaces(7), user_namespaces(7), credentials(7), seccomp(2), ioctl_tty(2), unix(7), epoll(7), kcmp(2).
"""

from __future__ import annotations

from ..objects import BIRTH, FREE, JOINABLE, ONE_WAY, Kind, Slot

_PRIVILEGED = ("credentials", "seccomp")  # what is written before these needs rights that they take away

KINDS = {
    kind.name: kind
    for kind in (
        Kind("user namespace", parent=Slot(BIRTH, refers=True)),
        Kind("namespace", owner=Slot(BIRTH, refers=True)),
        Kind("terminal", master=Slot(BIRTH, refers=True)),
        Kind("description", namespace=Slot(BIRTH, refers=True), state=Slot(FREE)),
        Kind("socket", namespace=Slot(BIRTH, refers=True), peer=Slot(BIRTH, FREE, refers=True)),
        # a queue is filled in order, once everything that lies in it exists
        Kind(
            "message",
            socket=Slot(BIRTH, refers=True),
            after=Slot(BIRTH, refers=True),
            carries=Slot(BIRTH, refers=True),
        ),
        # an epoll set may watch another: both exist first
        Kind("watch", epoll=Slot(BIRTH, refers=True), on=Slot(BIRTH, refers=True)),
        Kind(
            "task",
            parent=Slot(BIRTH, refers=True),
            shares_memory=Slot(BIRTH, refers=True),
            shares_files=Slot(BIRTH, refers=True),
            user_namespace=Slot(JOINABLE, refers=True, before=_PRIVILEGED),
            namespace=Slot(JOINABLE, refers=True, before=_PRIVILEGED),
            session=Slot(ONE_WAY, start=None, before=("seccomp",)),
            terminal=Slot(JOINABLE, refers=True, before=("seccomp",)),
            limits=Slot(FREE, before=_PRIVILEGED),
            credentials=Slot(ONE_WAY, start="all", before=("seccomp",)),
            seccomp=Slot(ONE_WAY, start="none"),
        ),
        Kind("thread", of=Slot(BIRTH, refers=True), seccomp=Slot(ONE_WAY, start="none")),
        # a number in a task's table: taken once the task and the description are there
        Kind("fd", task=Slot(BIRTH, refers=True, while_={"seccomp": "none"}), description=Slot(BIRTH, refers=True)),
    )
}
"""Kinds by name; a task whose descriptors are shared declares them for one of the sharers only."""
