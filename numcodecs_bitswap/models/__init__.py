"""Models: found, verified and loaded (catalog.py), stored with an array (embedded.py), shipped (weights/)."""
