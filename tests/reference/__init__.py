"""A second decoder, written from FORMAT.md alone, in plain integers.

In the page's order: frames (sections 1, 5, 6), samples (1.5), message (2), distributions (3), networks (4, 7), flow
(6.5), planes (9), labels and jpeg (10 to 12).
"""
