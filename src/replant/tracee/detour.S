# The code of detours, see detour.py: one system call, perhaps after a wait of its own, and back with all registers as
# they had been. rsp points to the frame:
#
#       0       8     16    24    32    40   48     56           72     80       88   96
#       +-------+-----+-----+-----+-----+----+------+------------+------+--------+----+--------+
#       | flags | rdi | rsi | rdx | r10 | r8 | back | timeout 16 | end  | result | nr | pollfd |
#       +-------+-----+-----+-----+-----+----+------+------------+------+--------+----+--------+
#
# and 128 bytes of red zone.

        .text

wait:                                           # ppoll(&pollfd, 1, &timeout, 0), registers set by the tracer
        syscall
        test    %rax, %rax
        js      done                            # interrupted by a handler: so is the call
        jnz     ready
        mov     80(%rsp), %rax                  # its time is up
        jmp     done
ready:  mov     8(%rsp), %rdi
        mov     16(%rsp), %rsi
        mov     24(%rsp), %rdx
        mov     32(%rsp), %r10
        mov     40(%rsp), %r8
        mov     88(%rsp), %rax
call:   syscall
done:   popf
        pop     %rdi
        pop     %rsi
        pop     %rdx
        pop     %r10
        pop     %r8
        ret     $48 + 128
end:
