"""What can stand behind a file descriptor, one module a kind; the registry finds it by the kernel's name for it."""
