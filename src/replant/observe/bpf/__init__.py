"""The kernel's own iterators over tasks, mappings and files, programmed from Python: no compiler, no libbpf.

How it works, in the order of the modules:

- :mod:`.asm` writes BPF instructions, :mod:`.calls` makes the few commands of bpf(2).
- :mod:`.kernel` declares the structures of the kernel that are read, with none of their offsets. :mod:`.layout`
  lets the kernel's CO-RE relocator fill these in, from its own BTF, when a program of a few hundred ``mov`` is
  loaded: under two milliseconds, no parsing of ``/sys/kernel/btf/vmlinux`` (70 ms), so no cache either.
- :mod:`.plan` turns chains such as ``cred->uid`` into probe reads of coalesced ranges that land in the record as they
  are, and into the struct format that unpacks it. A NULL on the way reads as zeros.
- :mod:`.iterate` loads such a plan as an iterator whose records go to a memory-mapped array: one read(2) scans all.
- :mod:`.memory` reads kernel memory at known addresses, thousands of places a system call.
- :mod:`.source` puts it together and compares it with /proc/self before it is trusted.
"""
