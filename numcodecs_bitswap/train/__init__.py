"""Training: a folder of images or an array file -> a model file. Needs the extra `[train]`; encode and decode never
import this package.

    python -m numcodecs_bitswap.train models/photo-rgb8-v1/recipe.toml --data FOLDER [--data FOLDER] --minutes 60

recipe.py reads the recipe; sources.py turns folders (data.py) and array files (arrays.py) into patches; fake_quant.py
is the differentiable twin of nets/exact.py, networks.py of the networks in FORMAT.md sections 4 to 6.1, vae.py and
likelihoods.py of those in section 6.3; loop.py trains and can be stopped and resumed; export.py writes the integers.
"""
