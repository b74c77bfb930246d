"""Models: found, checked and loaded (catalog.py), in the store of an array (embedded.py), shipped (weights/)."""
