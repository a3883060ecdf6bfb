"""Fuzzing: every parser of bytes from outside as a function of bytes, a runner, and a corpus."""
