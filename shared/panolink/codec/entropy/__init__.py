"""Entropy coding: indices, mask and quantised differences as bytes, and back.

A range coder, the integer tables and integer networks that give it probabilities, and the order in which symbols are
coded. All arithmetic that both ends have to agree about is in integers. Nothing here chooses what is sent or knows of
packets and channels, and nothing is imported from quantisation or rate control.
"""
