"""The message: a stack of bits held by L rANS lanes and one shared tail (FORMAT.md section 2). Also a binary arithmetic
coder for binary decisions (arithmetic_coder.py, section 10.1).

READ ME FIRST. A message is a stack: the symbol pushed last is popped first, so an encoder works backwards. Push is
injective and pop is its inverse for *every* message. So popping symbols that were never pushed and pushing them back
returns the same message. Bits-back coding relies on this, and it is why only integers reach this folder.
Imports `errors` and `arrays` only. Distributions are in `distributions` and are passed in as arguments.
"""
