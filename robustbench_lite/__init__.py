"""What is left of an image classifier's accuracy when it is attacked, or when its world changes."""
