"""Failures, kills and bad days of every kind, and what is left afterwards."""
