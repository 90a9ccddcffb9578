"""Runs one measure against one task: plan, evidence, training, grouping, store."""
