"""Training: a folder of images or an array file -> a model file. Needs the extra `[train]`; encode and decode never
import this package.

    python -m numcodecs_bitswap.train models/photo-rgb8-v2/recipe.toml --data FOLDER [--data FOLDER] --minutes 60

recipe.py reads the recipe; sources.py turns folders (data.py) and array files (arrays.py) into patches; fake_quant.py
is the differentiable twin of the integer layers, networks.py of models of kind `bit_swap` (with stages.py and
distributions.py), vae.py of those of kind `vae` (with likelihoods.py),
flow.py of those of kind `flow` (with couplings.py); loop.py trains and can be stopped and resumed;
export.py writes the integers.
"""
