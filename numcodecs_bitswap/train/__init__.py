"""Training: arrays and images -> a model file. Needs the extra `[train]`; encode and decode never import this package.

    numcodecs-bitswap train ARRAY_OR_FOLDER --minutes 10
    numcodecs-bitswap train ARRAY_OR_FOLDER --recipe default --minutes 15
    numcodecs-bitswap train models/photo-rgb8-v2/recipe.toml --data FOLDER [--data FOLDER] --minutes 60

command.py is the command. Models of the plane coder: plane_data.py takes chunks of arrays (own_arrays.py) and what the
encoder sees of them, planes.py has the networks and a step, plane_trainer.py trains, plane_report.py writes.

Models of stages, vae and flow: recipe.py reads a recipe or chooses one of recipes/; sources.py turns arrays
(own_arrays.py, validation.py), folders of photographs (data.py) and files of items (arrays.py) into patches;
fake_quant.py is the differentiable form of the integer layers, networks.py of models of kind `bit_swap` (with stages.py
and distributions.py), vae.py of those of kind `vae` (with likelihoods.py), flow.py of those of kind `flow` (with
couplings.py); loop.py trains and can be stopped and resumed (checkpoint.py, files.py), in several processes too
(distributed.py); export.py writes the integers; compare.py and report.py say what was gained.
"""
