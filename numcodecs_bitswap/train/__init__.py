"""Training: arrays and images -> a model file. Needs the extra `[train]`; encode and decode never import this package.

    numcodecs-bitswap train ARRAY_OR_FOLDER --minutes 10
    numcodecs-bitswap train ARRAY_OR_FOLDER --recipe default --minutes 15
    numcodecs-bitswap train models/photo-rgb8-v2/recipe.toml --data FOLDER [--data FOLDER] --minutes 60

command.py is the command. Models of the plane coder: plane_data.py observes the encoder on chunks of arrays
(own_arrays.py), planes.py has the networks and a training step, plane_trainer.py the run, plane_report.py its results.

Models of kinds `bit_swap`, `vae` and `flow`: recipe.py reads a recipe or chooses one of recipes/; sources.py turns
arrays (own_arrays.py, validation.py), folders of photographs (data.py) and files of items (arrays.py) into patches;
fake_quant.py is the differentiable form of the integer layers, networks.py that of models of kind `bit_swap` (with
stages.py and distributions.py), vae.py of kind `vae` (with likelihoods.py), flow.py of kind `flow` (with couplings.py);
loop.py trains, and can be stopped and resumed (checkpoint.py, files.py), also in several processes (distributed.py);
export.py writes the integers; compare.py and report.py compare the result with other codecs.
"""
