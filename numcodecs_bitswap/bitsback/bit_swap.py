"""Bit-Swap: recursive bits-back coding with L Markov layers of latents (Kingma, Abbeel, Ho 2019, arXiv:1905.06845;
FORMAT.md section 6.2).

The encoder pops a latent from the message with its posterior: any bits decode to some latent. The decoder gets these
bits back by pushing the latent. Each layer is pushed before the next one is popped, so the message only has to hold the
bits of one layer.
"""

from ..arrays import Array
from ..rans.message import Message
from . import coder
from .coder import Size
from .core import Networks, data_posterior, unknown


def push(message: Message, model: Networks, grid: Array) -> None:
    """Push a grid x (N, h, w, c): pop z_1, push x; pop z_2, push z_1; ...; push z_L.

    Raises
    ------
    MessageExhausted
        The message has too few bits for a posterior; it is then in an undefined state (copy it before).
    """
    x = coder.split_phases(grid, model.cell)
    z = coder.pop_posterior(message, data_posterior(model, x))
    coder.push_phases(message, model.likelihood(model.latent_input(z)), x)
    for layer in range(1, model.latent_layers):
        above = coder.pop_posterior(message, model.posterior(layer + 1, model.latent_input(z)))
        coder.push_latents(message, model.conditional(layer, model.latent_input(above)), z)
        z = above
    coder.push_latents(message, model.prior(*z.shape[:3]), z)


def pop(message: Message, model: Networks, n: int, size: Size) -> Array:
    """Pop a grid (n, h, w, c) and return the bits of its latents to the message: pop z_L; ...; pop z_1, push z_2; pop
    x, push z_1.
    """
    sizes = coder.phase_sizes(size, model.cell)
    z = coder.pop_latents(message, model.prior(n, *sizes[0]))
    for layer in reversed(range(1, model.latent_layers)):
        above, z = z, coder.pop_latents(message, model.conditional(layer, model.latent_input(z)))
        coder.push_posterior(message, model.posterior(layer + 1, model.latent_input(z)), above)
    grids = [unknown(model, n, each) for each in sizes]
    x = coder.pop_phases(message, model.likelihood(model.latent_input(z)), grids)
    coder.push_posterior(message, data_posterior(model, x), z)
    return coder.join_phases(x, size, model.cell)
