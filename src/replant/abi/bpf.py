"""bpf(2): commands, instruction codes and the parts of ``union bpf_attr`` in use (``linux/bpf.h``)."""

from __future__ import annotations

# commands
MAP_CREATE = 0
MAP_UPDATE_ELEM = 2
PROG_LOAD = 5
PROG_RUN = 10
PROG_GET_NEXT_ID = 11
PROG_GET_FD_BY_ID = 13
OBJ_GET_INFO_BY_FD = 15
RAW_TRACEPOINT_OPEN = 17
BTF_LOAD = 18
MAP_FREEZE = 22
MAP_LOOKUP_BATCH = 24
MAP_UPDATE_BATCH = 26
LINK_CREATE = 28
ITER_CREATE = 33

MAP_TYPE_HASH = 1
MAP_TYPE_ARRAY = 2
MAP_TYPE_PERCPU_ARRAY = 6
F_MMAPABLE = 1 << 10

PROG_TYPE_RAW_TRACEPOINT = 17
PROG_TYPE_TRACING = 26
PROG_TYPE_SYSCALL = 31
TRACE_ITER = 28
F_SLEEPABLE = 1 << 4

# union bpf_attr, as struct formats; `=` is exact because every member is naturally aligned or padded by hand
ATTR_MAP_CREATE = "=IIIIIII16s"  # type key_size value_size max_entries flags inner_map numa_node name
ATTR_PROG_LOAD = "=IIQQIIQII16sIIIIQIIQIIIIQQII"
ATTR_PROG_RUN = "=IIIIQQIIIIQQIIII"
ATTR_BTF_LOAD = "=QQIIII"
ATTR_LINK_CREATE = "=IIIIQII"
ATTR_ITER_CREATE = "=II"
ATTR_RAW_TRACEPOINT_OPEN = "=QII"  # name prog_fd, padding
ATTR_UPDATE_BATCH = "=QQQQIIQQ"
ITER_LINK_INFO_TASK = "=IIII"  # tid pid pid_fd, padding

# instructions: opcode u8, dst:4 src:4, off s16, imm s32
LD_IMM64 = 0x18
LDX_B, LDX_H, LDX_W, LDX_DW = 0x71, 0x69, 0x61, 0x79
STX_B, STX_H, STX_W, STX_DW = 0x73, 0x6B, 0x63, 0x7B
ST_B, ST_H, ST_W, ST_DW = 0x72, 0x6A, 0x62, 0x7A
ATOMIC_DW = 0xDB
ATOMIC_FETCH_ADD = 0x01
ADD_K, ADD_X = 0x07, 0x0F
SUB_K, SUB_X = 0x17, 0x1F
MUL_K = 0x27
OR_X = 0x4F
AND_K, AND_X = 0x57, 0x5F
XOR_X = 0xAF
LSH_K, LSH_X = 0x67, 0x6F
RSH_K, RSH_X = 0x77, 0x7F
MOV_K, MOV_X = 0xB7, 0xBF
JA = 0x05
JEQ_K, JEQ_X = 0x15, 0x1D
JGT_K, JGT_X = 0x25, 0x2D
JGE_K, JGE_X = 0x35, 0x3D
JNE_K, JNE_X = 0x55, 0x5D
JLT_K, JLT_X = 0xA5, 0xAD
JSGE_K = 0x75
CALL = 0x85
EXIT = 0x95

PSEUDO_MAP_FD = 1
PSEUDO_MAP_VALUE = 2
PSEUDO_KFUNC_CALL = 2  # of a call, whose immediate is then a BTF id
PSEUDO_FUNC = 4

# helpers, by number
FUNC_MAP_LOOKUP_ELEM = 1
FUNC_GET_CURRENT_TASK = 35
FUNC_PROBE_READ_KERNEL = 113
FUNC_D_PATH = 147
FUNC_BTF_FIND_BY_NAME_KIND = 167
FUNC_KALLSYMS_LOOKUP_NAME = 179
FUNC_LOOP = 181
FUNC_MAP_LOOKUP_PERCPU_ELEM = 195

# enum bpf_core_relo_kind
CORE_FIELD_BYTE_OFFSET = 0
CORE_FIELD_BYTE_SIZE = 1
CORE_FIELD_EXISTS = 2
CORE_FIELD_LSHIFT_U64 = 4
CORE_FIELD_RSHIFT_U64 = 5
CORE_TYPE_SIZE = 9
CORE_RELO = "=IIII"  # insn_off type_id access_str_off kind
CORE_RELO_SIZE = 16
FUNC_INFO = "=II"  # insn_off type_id
FUNC_INFO_SIZE = 8
