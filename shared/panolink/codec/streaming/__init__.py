"""Temporal coding: a stream of panoramas, each predicted from the tokens that the receiver is known to hold.

Tokens are integers that both ends hold exactly, so that a prediction cannot drift, whatever devices code and decode.
`StreamEncoder` and `StreamDecoder` are twins; what was lost on the way is told to the encoder, which then predicts from
what is really there. Nothing here knows of gRPC or of the radio.
"""
