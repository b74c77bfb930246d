"""BB-ANS: bits-back coding with asymmetric numeral systems (Townsend, Bird, Barber 2019, arXiv:1901.04866; FORMAT.md
section 6.2).

All latents are popped before anything is pushed: posterior.pop, likelihood.push, prior.push. Several layers are treated
as one vector, so the message has to hold the bits of all of them, which grow with depth; Bit-Swap asks for those of one
layer.
"""

from ..arrays import Array
from ..rans.message import Message
from . import coder
from .coder import Size
from .core import Networks, data_posterior, unknown


def push(message: Message, model: Networks, grid: Array) -> None:
    """Push a grid x (N, h, w, c): pop z_1, ..., z_L; push x, z_1, ..., z_L.

    Raises
    ------
    MessageExhausted
        The message has too few bits for the posteriors; it is then in an undefined state (copy it before).
    """
    x = coder.split_phases(grid, model.cell)
    z = [coder.pop_posterior(message, data_posterior(model, x))]
    for layer in range(1, model.latent_layers):
        z.append(coder.pop_posterior(message, model.posterior(layer + 1, model.latent_input(z[-1]))))
    coder.push_phases(message, model.likelihood(model.latent_input(z[0])), x)
    for layer in range(1, model.latent_layers):
        coder.push_latents(message, model.conditional(layer, model.latent_input(z[layer])), z[layer - 1])
    coder.push_latents(message, model.prior(*z[-1].shape[:3]), z[-1])


def pop(message: Message, model: Networks, n: int, size: Size) -> Array:
    """Pop a grid (n, h, w, c) and return the bits of its latents to the message: pop z_L, ..., z_1, x; push z_L, ...,
    z_1.
    """
    sizes = coder.phase_sizes(size, model.cell)
    z = [coder.pop_latents(message, model.prior(n, *sizes[0]))]
    for layer in reversed(range(1, model.latent_layers)):
        z.insert(0, coder.pop_latents(message, model.conditional(layer, model.latent_input(z[0]))))
    grids = [unknown(model, n, each) for each in sizes]
    x = coder.pop_phases(message, model.likelihood(model.latent_input(z[0])), grids)
    for layer in reversed(range(1, model.latent_layers)):
        coder.push_posterior(message, model.posterior(layer + 1, model.latent_input(z[layer - 1])), z[layer])
    coder.push_posterior(message, data_posterior(model, x), z[0])
    return coder.join_phases(x, size, model.cell)
