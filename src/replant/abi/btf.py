"""BTF, the kernel's type format (``linux/btf.h``): a header, a type section, a string section."""

from __future__ import annotations

MAGIC = 0xEB9F
VERSION = 1
HEADER = "=HBBIIIII"  # magic version flags hdr_len type_off type_len str_off str_len
HEADER_SIZE = 24

KIND_INT = 1
KIND_PTR = 2
KIND_ARRAY = 3
KIND_STRUCT = 4
KIND_ENUM = 6
KIND_FUNC = 12
KIND_FUNC_PROTO = 13

TYPE = "=III"  # name_off, vlen:16 pad:8 kind:5 .. kind_flag:1, size or type
INT_ENCODING = "=I"  # encoding:4 offset:8 bits:8
ARRAY = "=III"  # type index_type nelems
MEMBER = "=III"  # name_off type offset in bits
ENUMERATOR = "=Ii"  # name_off value
INT_SIGNED = 1
FUNC_STATIC, FUNC_GLOBAL = 0, 1
