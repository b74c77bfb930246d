"""Distributions: integer parameters -> intervals of 2^16 (FORMAT.md section 3).

Imports `errors` and `rans` only; no network, no float on the way to an interval.
"""
