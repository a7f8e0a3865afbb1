"""Errors, files, TensorFlow: what everything else stands on."""
