"""The learned codec: panorama ⇄ packet (AM-VQ: a vector-quantised base layer, and features where that distorts most).

`panolink.codec.codec.Codec` is the way in. ``networks`` holds encoder and decoder, ``quantization`` the paper's AM-VQ,
``rate_control`` what a budget buys, ``entropy`` the coding into bytes, ``bitstream`` the packet. It knows nothing of
radio, services or training: what is lost on the way it only sees as missing slices.
"""
