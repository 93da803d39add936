"""Measurements of Bursar: programs that print JSON on standard output and progress on standard error."""
