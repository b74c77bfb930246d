"""Bits-back coding: grids of pixels and a model -> pushes and pops on a message.

In every file push stands above pop, its mirror image. coder.py codes lists of phases; stages.py the context stages,
whose bits fund the core; bit_swap.py, bb_ans.py and local_bits_back.py the core by bits-back, direct.py without;
groups.py whole chunks. Networks are passed in as the argument `model`.
"""
