"""nf_tables over netlink (``linux/netfilter/nf_tables.h``, ``nfnetlink.h``): messages as bytes, nothing is sent here.

A change is a batch: all its messages take effect at once, or none does. Every message names its table.
"""

from __future__ import annotations

from struct import pack, unpack_from

from replant.abi import netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NETLINK_NETFILTER = 12
NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6 = 1, 2, 10
LOCAL_IN, LOCAL_OUT = 1, 3
TABLE_F_OWNER = 2  # the table goes when the socket that has made it is closed

_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
NEWTABLE, GETTABLE, DELTABLE, NEWCHAIN, NEWRULE, NEWSET, NEWSETELEM, GETSETELEM = 0, 1, 2, 3, 6, 9, 12, 13
_F_CREATE, _F_EXCL, _F_APPEND, _NESTED = 0x400, 0x200, 0x800, 0x8000

TABLE_NAME, TABLE_FLAGS, TABLE_USERDATA = 1, 2, 6
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_SET_TABLE, _SET_NAME, _SET_FLAGS, _SET_KEY_TYPE, _SET_KEY_LEN, _SET_ID = 1, 2, 3, 4, 5, 10
_ELEMENTS_TABLE, _ELEMENTS_SET, _ELEMENTS = 1, 2, 3
_LIST_ELEMENT, _VALUE, _VERDICT, _ELEMENT_KEY = 1, 1, 2, 1
_FIRST_REGISTER = 8  # NFT_REG32_00: registers of four bytes
_META_NFPROTO, _META_L4PROTO = 15, 16
NETWORK, TRANSPORT = 1, 2

#: Numbers by which nft(8) knows what the parts of a key mean, six bits each.
TYPE_IPV4, TYPE_IPV6, TYPE_PORT = 7, 8, 13


def attribute(kind: int, *parts: bytes) -> bytes:
    """A netlink attribute, padded."""
    value = b"".join(parts)
    head = pack(netlink.ATTRIBUTE, netlink.ATTRIBUTE_SIZE + len(value), kind)
    return head + value.ljust(netlink.align(len(value)), b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | _NESTED, *attributes)


def string(kind: int, text: str) -> bytes:
    """A name, with its end."""
    return attribute(kind, text.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """A 32-bit number, big-endian as all numbers of this interface."""
    return attribute(kind, pack("!i" if value < 0 else "!I", value))


class Message:
    """A request: its kind, the flags of netlink(7), its attributes."""

    __slots__ = ("body", "flags", "kind")

    def __init__(self, kind: int, *attributes: bytes, flags: int = 0) -> None:
        self.kind = kind
        self.flags = flags
        self.body = b"".join(attributes)

    def render(self, sequence: int, flags: int = 0) -> bytes:
        """The bytes on the wire."""
        return _message(_SUBSYSTEM << 8 | self.kind, self.flags | flags, sequence, NFPROTO_INET, 0, self.body)


def batch(messages: Sequence[Message]) -> bytes:
    """One change; it is answered by the errors of its messages, and in any case by a word about the last of them."""
    last = len(messages)
    parts = [_message(_BATCH_BEGIN, 0, 0, 0, _SUBSYSTEM)]
    parts += [m.render(i, netlink.F_ACK if i == last else 0) for i, m in enumerate(messages, 1)]
    return b"".join([*parts, _message(_BATCH_END, 0, last + 1, 0, _SUBSYSTEM)])


def _message(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes = b"") -> bytes:
    length = netlink.HEADER_SIZE + 4 + len(body)
    head = pack(netlink.HEADER, length, kind, netlink.F_REQUEST | flags, sequence, 0)
    return head + pack("!BBH", family, 0, resource) + body


def new_table(name: str, flags: int = 0, comment: str = "") -> Message:
    """``add table inet NAME``; a comment of more than 250 bytes is left out."""
    text = comment.encode("utf-8", "surrogateescape") + b"\0"
    note = attribute(TABLE_USERDATA, bytes((0, len(text))), text) if comment and len(text) < 250 else b""
    return Message(NEWTABLE, string(TABLE_NAME, name), number(TABLE_FLAGS, flags), note, flags=_F_CREATE | _F_EXCL)


def delete_table(name: str) -> Message:
    """``delete table inet NAME``, with everything in it."""
    return Message(DELTABLE, string(TABLE_NAME, name))


def comment_of(userdata: bytes) -> str:
    """The comment among a table's user data."""
    return userdata[2 : 2 + userdata[1]].rstrip(b"\0").decode("utf-8", "surrogateescape") if userdata[1:] else ""


def new_chain(table: str, name: str, hook: int, priority: int) -> Message:
    """A base chain of type filter that accepts what none of its rules drops."""
    where = nested(_CHAIN_HOOK, number(_HOOK_NUMBER, hook), number(_HOOK_PRIORITY, priority))
    names = string(_CHAIN_TABLE, table), string(_CHAIN_NAME, name)
    return Message(NEWCHAIN, *names, where, number(_CHAIN_POLICY, 1), string(_CHAIN_TYPE, "filter"), flags=_F_CREATE)


def new_set(table: str, name: str, number_: int, types: Iterable[int], length: int) -> Message:
    """A set of keys of ``length`` bytes, whose parts are of these types; ``number_`` is any, its own in a batch."""
    kind = 0
    for each in types:
        kind = kind << 6 | each
    names = string(_SET_TABLE, table), string(_SET_NAME, name), number(_SET_FLAGS, 0)
    key = number(_SET_KEY_TYPE, kind), number(_SET_KEY_LEN, length)
    return Message(NEWSET, *names, *key, number(_SET_ID, number_), flags=_F_CREATE)


def new_elements(table: str, set_: str, keys: Iterable[bytes]) -> Message:
    """Keys for a set; an attribute holds 64 KiB, so at most a thousand at a time."""
    items = [nested(_LIST_ELEMENT, nested(_ELEMENT_KEY, attribute(_VALUE, key))) for key in keys]
    names = string(_ELEMENTS_TABLE, table), string(_ELEMENTS_SET, set_)
    return Message(NEWSETELEM, *names, nested(_ELEMENTS, *items), flags=_F_CREATE)


def new_rule(table: str, chain: str, expressions: Iterable[bytes]) -> Message:
    """A rule at the end of a chain."""
    names = string(_RULE_TABLE, table), string(_RULE_CHAIN, chain)
    return Message(NEWRULE, *names, nested(_RULE_EXPRESSIONS, *expressions), flags=_F_CREATE | _F_APPEND)


# expressions; values are in registers of four bytes, counted from 0


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(_LIST_ELEMENT, string(1, name), nested(2, *attributes))


def only(protocol: int, layer4: int) -> list[bytes]:
    """Go on only with packets of this NFPROTO and this protocol of IP."""
    found = []
    for key, value in ((_META_NFPROTO, protocol), (_META_L4PROTO, layer4)):
        found.append(_expression("meta", number(1, _FIRST_REGISTER), number(2, key)))
        data = nested(3, attribute(_VALUE, bytes((value,))))
        found.append(_expression("cmp", number(1, _FIRST_REGISTER), number(2, 0), data))
    return found


def payload(register: int, base: int, offset: int, length: int) -> bytes:
    """Load bytes of a header into registers."""
    where = number(2, base), number(3, offset), number(4, length)
    return _expression("payload", number(1, _FIRST_REGISTER + register), *where)


def lookup(set_: str, set_number: int) -> bytes:
    """Go on only if the registers from 0 on hold a key of the set."""
    return _expression("lookup", string(1, set_), number(2, _FIRST_REGISTER), number(4, set_number))


def drop() -> bytes:
    """Throw the packet away."""
    verdict = nested(2, nested(_VERDICT, number(1, 0)))
    return _expression("immediate", number(1, 0), verdict)


def errors(data: bytes) -> Iterable[tuple[int, int]]:
    """Of an answer to a batch: the number of a message, from 1 on, and its error, 0 if it has none."""
    at = 0
    while at < len(data):
        length, kind, _, sequence, _ = unpack_from(netlink.HEADER, data, at)
        if kind == netlink.NLMSG_ERROR:
            yield sequence, -unpack_from("=i", data, at + netlink.HEADER_SIZE)[0]
        at += netlink.align(length)
