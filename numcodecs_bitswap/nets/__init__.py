"""Integer networks: model tensors and activations -> integer parameters of distributions.

exact.py has the arithmetic (FORMAT.md section 4.1), trunk.py the one network shape (4.2), parameters.py what its
outputs mean (4.3), stage.py the windows of a context stage (5), hierarchy.py the whole Bit-Swap model (6, 7).
slabs.py computes layers on any device, triton_ops.py on CUDA, numba_networks.py whole networks on CPUs with VNNI;
elementwise.py chooses. Nothing here knows of messages, frames or patches.
"""
