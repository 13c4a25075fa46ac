"""The conductors: dump, restore, check, diff; they join the layers and know no kind by name."""
