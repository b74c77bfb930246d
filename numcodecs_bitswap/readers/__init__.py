"""Arrays from paths and URLs (arrays.py) and from image files (images.py), exactly or not at all."""
