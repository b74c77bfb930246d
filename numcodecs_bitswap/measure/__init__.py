"""Comparison of codecs (harness.py, classical.py), estimates for an array (estimate.py), contents of a store
(contents.py).
"""
