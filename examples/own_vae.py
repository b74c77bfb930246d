"""Your own VAE as a model: describe it, train it on your data, and use it in a codec.

python examples/own_vae.py [train-images-idx3-ubyte.gz]

Needs: pip install '.[train]'.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from digits import digits

from numcodecs_bitswap import BBANS
from numcodecs_bitswap.models.catalog import register_folder

# The description: a fully connected VAE, 784-64-10, with a beta-binomial for each pixel. Everything that decides the
# weights but the data is in this file; models/ has those of the models that ship.
RECIPE = """
name = "my-digits-v1"
licence = "mine"
[model]
kind = "vae"
channels = 1
height = 28
width = 28
latent_channels = 10
latent_bits = 5
likelihood = "beta_binomial"
levels = 256
mixtures = 2
hidden = 64
direct_width = 8
direct_blocks = 1
channel_width = 8
[training]
steps = 150
batch = 64
patch = 28
learning_rate = 4e-3
"""

images = digits(3000)
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "recipe.toml").write_text(RECIPE)
    np.save(folder / "digits.npy", images[1000:])
    # Ctrl-C loses nothing: the same command resumes. A tenth of the data is for validation; its rate is printed.
    command = [sys.executable, "-m", "numcodecs_bitswap.train", "recipe.toml", "--data", "digits.npy", "--run", "run"]
    subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)

    # One file is the model. Keep it forever: readers need it, in a folder that NUMCODECS_BITSWAP_MODELS names.
    register_folder(folder / "run")
    codec = BBANS(model="my-digits-v1")
    encoded = codec.encode(images[:1000])
    assert np.array_equal(codec.decode(encoded), images[:1000])
    print(f"{8 * len(encoded) / images[:1000].size:.3f} bits/sample; without a model 8")
