"""The machine: compiled loops (jit.py, code_cache.py, warmup.py), threads (cores.py, workers.py, forks.py), and the one
queue of model passes with the choice of the device (scheduler.py).
"""
