"""The kernel's own iterators over tasks, mappings and files, programmed from Python: no compiler, no libbpf.

How it works, in the order of the modules:

- :mod:`.asm` writes BPF instructions, :mod:`.calls` makes the few commands of bpf(2).
- :mod:`.kernel` declares the structures of the kernel that are read, with none of their offsets. :mod:`.layout` has
  the kernel's own CO-RE relocator fill these in: a program of some 1500 ``mov`` is loaded, relocated and run once, in
  20 ms, where parsing ``/sys/kernel/btf/vmlinux`` takes Python 70. :mod:`.cache` keeps the answer for the next run.
- :mod:`.plan` turns chains such as ``task->cred->uid`` into probe reads of coalesced ranges, which land in a record as
  they are, and tells where in it the columns are. A NULL on the way reads as zeros.
- :mod:`.iterate` makes such a plan an iterator whose records go to a memory-mapped array: one read(2) scans all of
  the system, one process, or the processes whose bits are set. :mod:`.paths` writes the texts of paths beside it.
- :mod:`.memory` reads kernel memory at known addresses, thousands of places a system call; :mod:`.queues` walks lists
  and trees with it.
- :mod:`.source` puts it together; what comes out is compared with /proc/self before it is trusted.
"""
