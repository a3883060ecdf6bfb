"""The simulated radio channel: conditions, fading, noise and erasures, and their change with time.

`channel_models` lists the models, `conditions` checks their numbers, `fading` and `erasure` draw what happens, `model`
applies it to the symbols of a burst, `scenario` and `scenario_files` say what changes when. numpy only. Nothing here is
part of a receiver: estimates of the channel are in `panolink.phy.modem` and `panolink.phy.snr_estimation`.
"""
