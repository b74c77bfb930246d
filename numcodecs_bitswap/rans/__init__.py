"""The message: a stack of bits held by L rANS lanes and one shared tail (FORMAT.md section 2). Beside it, for decisions
between two, a binary arithmetic coder (arithmetic_coder.py, section 10).

READ ME FIRST. A message is a stack: what was pushed last is popped first, so an encoder works backwards.
Push is injective and pop is its inverse for *every* message, so popping symbols that were never pushed and pushing
them back returns the same message: that is what bits-back coding rests on, and why only integers reach this folder.
Imports `errors` only. Distributions live in `distributions` and come here as arguments.
"""
