import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import Conditions
from panolink.phy.channel.channel_models import MODEL_SETTINGS, ChannelModel, FadingProcess, models_with
from panolink.phy.channel.fading import generate_fading


@pytest.mark.parametrize("model", list(ChannelModel))
def test_every_model_says_what_it_is_and_generates_fading_of_unit_power(model: ChannelModel):
    assert model.description and ChannelModel(str(model)) is model
    assert set(model.settings) <= set(vars(Conditions()))
    powers = []
    for seed in range(40):
        conditions = Conditions(model, coherence_symbols=16, doppler_hz=200)
        gains, block = generate_fading(conditions, np.random.default_rng(seed)).gains(0, 4096)
        assert gains.dtype == np.complex64 and gains.size == -(-4096 // block)
        powers.append(np.mean(np.abs(gains) ** 2))
    assert np.mean(powers) == pytest.approx(1, abs=0.25)


def test_settings_change_the_models_that_name_them_and_no_others():
    others = {"rician_k_db": -3.0, "doppler_hz": 300.0, "delay_spread_s": 1e-6, "subcarriers": 16}
    assert set(others) == set(MODEL_SETTINGS)

    def gains(model: ChannelModel, **settings: float) -> np.ndarray:
        conditions = Conditions(model, coherence_symbols=1, **settings)  # type: ignore[arg-type]
        return generate_fading(conditions, np.random.default_rng(1)).gains(0, 512)[0]

    for model in ChannelModel:
        for name, value in others.items():
            before, after = gains(model), gains(model, **{name: value})
            changed = before.size != after.size or not np.array_equal(before, after)
            assert changed == (name in model.settings), (model, name)


def test_help_texts_name_families():
    assert [models_with(name) for name in MODEL_SETTINGS] == ["rician", "jakes, tdl", "tdl", "tdl"]


def test_only_one_model_has_no_noise():
    assert [model for model in ChannelModel if model.noiseless] == [ChannelModel.IDEAL]
    assert [model for model in ChannelModel if model.process is FadingProcess.CLARKE] == [ChannelModel.JAKES]


def test_an_unknown_name_is_told_with_all_that_are_known():
    with pytest.raises(SignalError, match=r"unknown channel model 'rain'; allowed: ideal, awgn, .*, tdl-e"):
        ChannelModel("rain")


def test_a_command_line_can_list_them_without_numpy():
    code = "import sys; from panolink.phy.channel.channel_models import ChannelModel; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"False"


def test_the_table_of_settings_in_the_protocol_lists_all():
    page = (Path(__file__).parents[3] / "docs/protocol.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| `MODEL`, "))
    listed = re.findall(r"`([a-z-]+)`", row.split("begin with;")[1])
    assert [name for name in listed if not name.startswith("tdl-")] == [m for m in ChannelModel if m[:4] != "tdl-"]
    assert listed[-2:] == ["tdl-a", "tdl-e"] and "`tdl-a` … `tdl-e`" in row
    assert [m for m in ChannelModel if m.is_tapped_delay_line] == [f"tdl-{letter}" for letter in "abcde"]
