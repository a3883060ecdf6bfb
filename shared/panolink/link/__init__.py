"""Joint coding and transmission of panoramas: the paper's Figure 1 as code, without gRPC.

`transmitter` turns a panorama and a rate request into symbols, `receiver` received symbols into a panorama; between
them `rate_allocation` and `unequal_protection` spend a budget of symbols, and `outer_loop` follows the channel.
Services, benchmarks and examples run this same code. Networks and bits are the codec's, symbols those of
`panolink.phy`; nothing here knows of connections or messages.
"""
