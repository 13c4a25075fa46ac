"""Sorts of mappings: one module each. Their rows are `replant.model.tree.Vma`, alike for all sorts."""
