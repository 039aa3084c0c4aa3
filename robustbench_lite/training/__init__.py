"""Training of small classifiers."""
