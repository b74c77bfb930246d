"""Integer networks: model tensors and activations -> integer parameters of distributions.

layers.py has the arithmetic (FORMAT.md section 4.1), trunk.py the one network shape (4.2), parameters.py the
meaning of its outputs (4.3), stage.py a context stage (5), bit_swap.py, vae.py and flow.py the models (6, 7).

The operations of a device are a `Backend` (backend.py), which is passed in: numba_networks.py, numba_ops.py and
numba_transforms.py on a CPU, torch_layer.py, torch_networks.py and torch_ops.py in torch on any device, triton_ops.py
on CUDA.

Nothing here depends on messages, frames or patches.
"""
