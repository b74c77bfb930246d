"""One chunk <-> one frame, numpy only.

coding.py encodes and decodes a chunk, side by side; plan.py says which routes and models it tries. A route maps an
array to a payload and back: plane_route.py (with plane_payload.py), jpeg_route.py, model_route.py (with patches.py),
stored.py. frame.py maps a payload to the bytes of a frame and back, dtypes.py and fields.py their parts.
"""
