"""Arrays that were decoded from JPEG files: what the files held."""
