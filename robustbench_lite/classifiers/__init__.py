"""Classifiers: the frozen network with its preprocessing, how to load one, and small built-in networks."""
