"""What was tried: nothing here ships."""
