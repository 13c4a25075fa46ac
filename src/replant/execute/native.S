# Lets the restorer run records itself: a function of C, called with the address of the first record, that enters
# the interpreter of tracee/blob.S, which follows these bytes. The last record is a TRAP of signal 0 that goes on at
# `back`. Its bytes stand in native.py; a test assembles this file and compares.

        .text

enter:                                          # rdi: the first record
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rdi, %rbx
        jmp     run
back:
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret
run:
