"""Hypothesis profile of the whole suite: few examples, and the same ones in every run."""

from hypothesis import settings

settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci")
