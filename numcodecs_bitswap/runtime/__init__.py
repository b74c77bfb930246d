"""What the machine does for a chunk: compiled loops (jit.py, code_cache.py, warmup.py), threads (cores.py, workers.py,
forks.py), and the one queue of model passes on a device (scheduler.py).
"""
