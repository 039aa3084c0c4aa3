"""Attacks: one attack, one file, readable beside its paper."""
