"""Distributions: integer parameters -> intervals of 2^16 (FORMAT.md section 3).

Imports `errors`, `arrays`, `rans` and `runtime.jit` only. No networks, and no floats on the way to an interval.
"""
