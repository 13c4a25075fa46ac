# The first process of a pid namespace that a restore has made: it reaps what the tree orphans, passes signals from
# outside on to the root, and ends as the root has ended, which ends the namespace. Every signal is blocked when it is
# executed, so that each waits in a queue. The number of the root follows the last byte: see init.py.

        .set    PRCTL, 157
        .set    SETPGID, 109
        .set    WAIT4, 61
        .set    KILL, 62
        .set    RT_SIGTIMEDWAIT, 128
        .set    EXIT_GROUP, 231
        .set    PR_SET_NAME, 15
        .set    SIGCHLD, 17
        .set    WNOHANG, 1
        .set    SI_PID, 16                      # of siginfo_t

        .set    INFO, -128                      # siginfo_t, below the stack pointer: there are no handlers
        .set    STATUS, -136

        .text
start:  mov     $PRCTL, %eax
        mov     $PR_SET_NAME, %edi
        lea     name(%rip), %rsi
        syscall
        mov     $SETPGID, %eax                  # a terminal's signals are for the command that waits, not for us
        xor     %edi, %edi
        xor     %esi, %esi
        syscall

reap:   mov     $WAIT4, %eax
        or      $-1, %rdi
        lea     STATUS(%rsp), %rsi
        mov     $WNOHANG, %edx
        xor     %r10d, %r10d
        syscall
        test    %eax, %eax
        jle     next
        cmp     %eax, root(%rip)
        jne     reap
        mov     STATUS(%rsp), %edi
        mov     %edi, %eax
        shr     $8, %edi                        # its exit code,
        and     $0x7f, %eax
        jz      end
        lea     128(%rax), %edi                 # or 128 and the signal that killed it
end:    mov     $EXIT_GROUP, %eax
        syscall

next:   mov     $RT_SIGTIMEDWAIT, %eax
        lea     every(%rip), %rdi
        lea     INFO(%rsp), %rsi
        xor     %edx, %edx
        mov     $8, %r10d
        syscall
        cmp     $SIGCHLD, %eax
        je      reap
        test    %eax, %eax
        jle     next
        cmpl    $0, SI_PID(%rsi)                # who is outside has no number here; the tree tells its parent nothing
        jne     next
        mov     %eax, %esi
        mov     $KILL, %eax
        mov     root(%rip), %edi
        syscall
        jmp     next

every:  .quad   -1
name:   .asciz  "replant-init"
root:
