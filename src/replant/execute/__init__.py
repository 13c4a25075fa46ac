"""Runs a restore program: a seed process, an arena that all stubs share, batches, the landing."""
