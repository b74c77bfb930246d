"""Arrays that were decoded from JPEG files: recovering and coding the JPEG coefficients."""
