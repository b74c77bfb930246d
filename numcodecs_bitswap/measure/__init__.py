"""Codecs side by side (harness.py, classical.py), what an array would gain (estimate.py), what a store holds
(contents.py).
"""
