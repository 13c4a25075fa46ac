"""The kernel's numbers and structures, one file per uapi header; depends on nothing else of replant."""
