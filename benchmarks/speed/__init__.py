"""Speed of every model and codec."""
