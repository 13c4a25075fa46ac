"""Kinds of resources, one module each: how it is recognised, read, kept, made again and compared.

`protocol` says what a kind module has; `registry` finds the module by the kernel's own name for the thing.
"""
