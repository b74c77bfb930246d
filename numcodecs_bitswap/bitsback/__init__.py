"""Bits-back coding: grids of pixels and a model -> pushes and pops on a message.

In every file push stands above pop, its mirror image. coder.py codes lists of phases, stages.py the context stages that
fund the core, bit_swap.py and bb_ans.py the core by bits-back, direct.py the core without, groups.py whole chunks.
Networks come in as the argument `model`.
"""
