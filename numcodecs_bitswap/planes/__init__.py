"""The plane coder: least squares that adapt backward, and a small integer network (FORMAT.md section 9)."""
