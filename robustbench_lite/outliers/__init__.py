"""Outlier detection: scores, tails, thresholds, detectors."""
