"""The bytes of blob.S, where its entries are, and the numbers its records know.

Stubs of a restore need only `CODE`; asks inside a live target write all of `IMAGE`.
"""

from __future__ import annotations

LOAD = 0x01  # << i: argument i is the address of its value
ERROR_OK = 0x40
STORE_NOT = 0x80

TRAP = 0xFFFFFFFF  # arg0: a signal; no return value is stored
XRSTOR = 0xFFFFFFFE  # arg0: XSAVE area, standard format, 64-byte aligned; arg1: mask of components
JUMP = 0xFFFFFFFD  # arg0: an address in code; no return value is stored

NOT_RUN = -1 << 63  # what stands in ret until a record has run

RUN = 0x000  # rbx: the first record
TRAPPED = 0x0DF  # where rip stands in the stop of a TRAP
PAUSED = 0x0FF  # the same where no signal was free (TRAP of signal 0)
ONCE = 0x0AD  # one call from registers, then a TRAP; see blob.S
OWNER = 0x2B0  # the byte that says whose the arena is: 0 nobody, 1 side a, 2 side b
ENTER_A = 0x102  # the owner runs records, everybody else leaves
DROP_A = 0x111  # the owner unmaps the arena; all leave
LEAVE_A = 0x12F  # signal mask and registers as in the table, and away
TABLE_A = 0x2B8  # user_regs_struct (168 bytes), mask, arena, its length
ENTER_B = 0x1CD
DROP_B = 0x1DC
LEAVE_B = 0x1FA
TABLE_B = 0x378
END = 0x438

IMAGE = bytes.fromhex(
    "448b6304488b7b0841f6c4017403488b3f488b731041f6c4027403488b36488b531841f6c4047403488b124c8b532041f6c4"
    "0874034d8b124c8b432841f6c41074034d8b004c8b4b3041f6c42074034d8b098b0385c0782e0f0541f6c480750448894338"
    "483d01f0ffff721141f6c440750b4883c340833bff75f7eb834883c340e97affffffffc07406ffc0740effe74189fd4c8d35"
    "e3ffffffeb2089f04889f248c1ea20480fae2f31c0ebad0f054889c3483d01f0ffff4d0f43f7b8270000000f0589c5b8ba00"
    "00000f054585ed741189ef89c64489eab8ea0000000f0541ffe6488d3dbf01000031f6488d15a601000041ba08000000b880"
    "0000000f0541ffe6803da7010000010f84f1feffffeb1e803d98010000017515488b3d47020000488b3548020000b80b0000"
    "000f05bf02000000488d352502000031d241ba08000000b80e0000000f058a05f9010000c0e8032401047f8a25eb0100009e"
    "4c8b3d530100004c8b35540100004c8b2d550100004c8b2556010000488b2d57010000488b1d580100004c8b1d590100004c"
    "8b155a0100004c8b0d5b0100004c8b055c010000488b055d010000488b0d5e010000488b155f010000488b3560010000488b"
    "3d61010000ff256b010000803ddc000000020f8426feffffeb1e803dcd000000027515488b3d3c020000488b353d020000b8"
    "0b0000000f05bf02000000488d351a02000031d241ba08000000b80e0000000f058a05ee010000c0e8032401047f8a25e001"
    "00009e4c8b3d480100004c8b35490100004c8b2d4a0100004c8b254b010000488b2d4c010000488b1d4d0100004c8b1d4e01"
    "00004c8b154f0100004c8b0d500100004c8b0551010000488b0552010000488b0d53010000488b1554010000488b35550100"
    "00488b3d56010000ff25600100000000000000000000002d31010000000000000000000000000000000000000000"
) + bytes(END - TABLE_A)

CODE = IMAGE[:ENTER_A]
