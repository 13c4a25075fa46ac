"""The bytes of blob.S, where its entries are, and the numbers its records know.

Stubs of a restore need only `CODE`; asks inside a live target write all of `IMAGE`.
"""

from __future__ import annotations

LOAD = 0x01  # << i: argument i is the address of its value
ERROR_OK = 0x40
STORE_NOT = 0x80

TRAP = 0xFFFFFFFF  # arg0: a signal; arg1: where to go on, 0 for the next record; no return value is stored
XRSTOR = 0xFFFFFFFE  # arg0: XSAVE area, standard format, 64-byte aligned; arg1: mask of components
JUMP = 0xFFFFFFFD  # arg0: an address in code; no return value is stored
FORK = 0xFFFFFFFC  # arg0…4 as of clone(2); arg5: the first record of the child

NOT_RUN = -1 << 63  # what stands in ret until a record has run

RUN = 0x000  # rbx: the first record
TRAPPED = 0x0FE  # where rip stands in the stop of a TRAP
PAUSED = 0x11E  # the same where no signal was free (TRAP of signal 0)
ONCE = 0x0CC  # one call from registers, then a TRAP; see blob.S
OWNER = 0x2D0  # the byte that says whose the arena is: 0 nobody, 1 side a, 2 side b
ENTER_A = 0x121  # the owner runs records, everybody else leaves
DROP_A = 0x130  # the owner unmaps the arena; all leave
LEAVE_A = 0x14E  # signal mask and registers as in the table, and away
TABLE_A = 0x2D8  # user_regs_struct (168 bytes), mask, arena, its length
ENTER_B = 0x1EC
DROP_B = 0x1FB
LEAVE_B = 0x219
TABLE_B = 0x398
END = 0x458

IMAGE = bytes.fromhex(
    "448b6304488b7b0841f6c4017403488b3f488b731041f6c4027403488b36488b531841f6c4047403488b124c8b532041f6c4"
    "0874034d8b124c8b432841f6c41074034d8b004c8b4b3041f6c42074034d8b098b0385c0782e0f0541f6c480750448894338"
    "483d01f0ffff721141f6c440750b4883c340833bff75f7eb834883c340e97affffffffc0741effc0742dffc07414b8380000"
    "000f054885c075bc4c89cbe95affffffffe74189fd4c8d35cbffffff4885f64c0f45f6eb2089f04889f248c1ea20480fae2f"
    "31c0eb8e0f054889c3483d01f0ffff4d0f43f7b8270000000f0589c5b8ba0000000f054585ed741189ef89c64489eab8ea00"
    "00000f0541ffe6488d3dc001000031f6488d15a701000041ba08000000b8800000000f0541ffe6803da8010000010f84d2fe"
    "ffffeb1e803d99010000017515488b3d48020000488b3549020000b80b0000000f05bf02000000488d352602000031d241ba"
    "08000000b80e0000000f058a05fa010000c0e8032401047f8a25ec0100009e4c8b3d540100004c8b35550100004c8b2d5601"
    "00004c8b2557010000488b2d58010000488b1d590100004c8b1d5a0100004c8b155b0100004c8b0d5c0100004c8b055d0100"
    "00488b055e010000488b0d5f010000488b1560010000488b3561010000488b3d62010000ff256c010000803ddd000000020f"
    "8407feffffeb1e803dce000000027515488b3d3d020000488b353e020000b80b0000000f05bf02000000488d351b02000031"
    "d241ba08000000b80e0000000f058a05ef010000c0e8032401047f8a25e10100009e4c8b3d490100004c8b354a0100004c8b"
    "2d4b0100004c8b254c010000488b2d4d010000488b1d4e0100004c8b1d4f0100004c8b15500100004c8b0d510100004c8b05"
    "52010000488b0553010000488b0d54010000488b1555010000488b3556010000488b3d57010000ff25610100009001000000"
    "00000000000000000000000000000000000000000000000000000000"
) + bytes(END - TABLE_A)

CODE = IMAGE[:ENTER_A]
