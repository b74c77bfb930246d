"""One chunk <-> one frame, numpy only.

coding.py is the way of a chunk, encode and decode side by side; plan.py says which routes and models it tries. A route
is an array <-> a payload: plane_route.py (with plane_payload.py), jpeg_route.py, model_route.py (with patches.py),
stored.py. frame.py is a payload <-> the bytes of a frame, dtypes.py and fields.py its parts.
"""
