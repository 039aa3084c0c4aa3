"""Synthetic distribution shifts: one risk, one file."""
