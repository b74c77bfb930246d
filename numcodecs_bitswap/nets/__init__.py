"""Integer networks: model tensors and activations -> integer parameters of distributions.

layers.py has the arithmetic (FORMAT.md section 4.1), trunk.py the one network shape (4.2), parameters.py what its
outputs mean (4.3), stage.py the windows of a context stage (5), bit_swap.py the whole Bit-Swap model (6, 7).
What a device does for them is a `Backend` (backend.py), which is handed in: numba_networks.py, numba_ops.py and
numba_transforms.py on a CPU, torch_layer.py, torch_networks.py and torch_ops.py in torch on any device, triton_ops.py
on CUDA.
Nothing here knows of messages, frames or patches.
"""
