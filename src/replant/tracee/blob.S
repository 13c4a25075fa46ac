# The interpreter of records, the only code of ours that a tracee ever runs. Its bytes stand in blob.py; a test
# assembles this file and compares. It is position independent, touches no stack and no vector register, and keeps
# rsp as it was, so that a signal that comes while it runs finds the stack that the interrupted code had.
#
# A record, 64 bytes:
#
#       0    4      8        16       24       32       40       48       56
#       +----+------+--------+--------+--------+--------+--------+--------+--------+
#       | nr | flags|  arg0  |  arg1  |  arg2  |  arg3  |  arg4  |  arg5  |  ret   |
#       +----+------+--------+--------+--------+--------+--------+--------+--------+
#
# flags 0x01…0x20: argument 0…5 is the address of its value (the ret of an earlier record, say);
#       0x40: an error is no failure;  0x80: do not store ret (the record is read-only, or gone by then).
#
# nr:   a system call, or
#       -1 TRAP    send ourselves the signal arg0, which a tracer sees as a stop and which means nothing without one;
#                  then go on at arg1, which is code, or with the next record if it is 0
#       -2 XRSTOR  load the components arg1 of the extended state at arg0 (64-byte aligned, standard format)
#       -3 JUMP    go on at arg0, which is code
#       -4 FORK    clone(2) with arg0…arg4; the child goes on with the record at arg5, and stores nothing before that:
#                  it may have the memory of its parent
#
# After a failure nothing runs until the next TRAP: what follows a TRAP is cleanup.

        .set    STORE_NOT, 0x80
        .set    ERROR_OK, 0x40
        .set    TRAP, -1

        .text

run:                                            # rbx: the first record
        mov     4(%rbx), %r12d
        .macro  argument number register
        mov     8 + 8 * \number(%rbx), %\register
        test    $1 << \number, %r12b
        jz      1f
        mov     (%\register), %\register
1:
        .endm
        argument 0 rdi
        argument 1 rsi
        argument 2 rdx
        argument 3 r10
        argument 4 r8
        argument 5 r9
        mov     (%rbx), %eax
        test    %eax, %eax
        js      special
        syscall
done:   test    $STORE_NOT, %r12b
        jnz     1f
        mov     %rax, 56(%rbx)
1:      cmp     $-4095, %rax
        jb      next
        test    $ERROR_OK, %r12b
        jnz     next
skip:   add     $64, %rbx
        cmpl    $TRAP, (%rbx)
        jne     skip
        jmp     run
next:   add     $64, %rbx
        jmp     run

special:
        inc     %eax
        jz      1f
        inc     %eax
        jz      2f
        inc     %eax
        jz      3f
        mov     $56, %eax                       # clone
        syscall
        test    %rax, %rax
        jnz     done
        mov     %r9, %rbx
        jmp     run
3:      jmp     *%rdi
1:      mov     %edi, %r13d
        lea     next(%rip), %r14
        test    %rsi, %rsi
        cmovnz  %rsi, %r14
        jmp     trap
2:      mov     %esi, %eax
        mov     %rsi, %rdx
        shr     $32, %rdx
        xrstor64 (%rdi)
        xor     %eax, %eax
        jmp     done

once:                                           # one call, all registers set by the tracer; what it gave is in rbx
        syscall                                 # r13: the signal of a TRAP, r14: where to go on, r15: after an error
        mov     %rax, %rbx
        cmp     $-4095, %rax
        cmovae  %r15, %r14

trap:                                           # getpid and gettid: numbers are those of our own pid namespace
        mov     $39, %eax
        syscall
        mov     %eax, %ebp
        mov     $186, %eax
        syscall
        test    %r13d, %r13d
        jz      pause
        mov     %ebp, %edi
        mov     %eax, %esi
        mov     %r13d, %edx
        mov     $234, %eax                      # tgkill
        syscall
trapped:
        jmp     *%r14

pause:                                          # no signal is free: rt_sigtimedwait for nothing is interruptible,
        lea     nothing(%rip), %rdi             # and keeps no restart block, so that of the interrupted call stays
        xor     %esi, %esi
        lea     moment(%rip), %rdx
        mov     $8, %r10d
        mov     $128, %eax
        syscall
paused:
        jmp     *%r14

# The way home of an asked thread, twice, so that one thread can take over from another. The arena belongs to the
# thread whose number stands at owner, a byte that only the tracer writes: if the tracer dies, this thread, and no
# other, touches the arena, and unmaps it.
#
# The table is struct user_regs_struct (its first 21 fields), then mask, arena, length.

        .macro  way side number
enter_\side:                                    # rbx: records in the arena
        cmpb    $\number, owner(%rip)
        je      run
        jmp     leave_\side
drop_\side:
        cmpb    $\number, owner(%rip)
        jne     leave_\side
        mov     table_\side + 176(%rip), %rdi
        mov     table_\side + 184(%rip), %rsi
        mov     $11, %eax                       # munmap
        syscall
leave_\side:
        mov     $2, %edi                        # SIG_SETMASK
        lea     table_\side + 168(%rip), %rsi
        xor     %edx, %edx
        mov     $8, %r10d
        mov     $14, %eax                       # rt_sigprocmask
        syscall
        mov     table_\side + 145(%rip), %al    # bit 3 of it is the overflow flag: 1 + 127 overflows, 0 + 127 does not
        shr     $3, %al
        and     $1, %al
        add     $127, %al
        mov     table_\side + 144(%rip), %ah
        sahf                                    # the other flags of arithmetic; no instruction above changes DF, AC, …
        mov     table_\side + 0(%rip), %r15
        mov     table_\side + 8(%rip), %r14
        mov     table_\side + 16(%rip), %r13
        mov     table_\side + 24(%rip), %r12
        mov     table_\side + 32(%rip), %rbp
        mov     table_\side + 40(%rip), %rbx
        mov     table_\side + 48(%rip), %r11
        mov     table_\side + 56(%rip), %r10
        mov     table_\side + 64(%rip), %r9
        mov     table_\side + 72(%rip), %r8
        mov     table_\side + 80(%rip), %rax
        mov     table_\side + 88(%rip), %rcx
        mov     table_\side + 96(%rip), %rdx
        mov     table_\side + 104(%rip), %rsi
        mov     table_\side + 112(%rip), %rdi
        jmp     *table_\side + 128(%rip)
        .endm

        way     a 1
        way     b 2

        .balign 8
moment: .quad   1, 0                            # 1 s
nothing:
        .quad   0
owner:  .quad   0
table_a:
        .fill   24, 8
table_b:
        .fill   24, 8
end:
