"""Generative models of images: one family, one file."""
