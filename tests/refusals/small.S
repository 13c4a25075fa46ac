# A 32-bit program: writes the file "ready", and waits for ever.
    .globl _start
_start:
    mov $5, %eax            # open(path, O_WRONLY | O_CREAT, 0600)
    mov $path, %ebx
    mov $0101, %ecx
    mov $0600, %edx
    int $0x80
    mov %eax, %ebx
    mov $4, %eax            # write
    mov $path, %ecx
    mov $5, %edx
    int $0x80
    mov $6, %eax            # close
    int $0x80
again:
    mov $29, %eax           # pause
    int $0x80
    jmp again
    .data
path:
    .asciz "ready"
    .section .note.GNU-stack, "", @progbits
