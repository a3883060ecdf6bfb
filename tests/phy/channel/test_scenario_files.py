import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import Conditions, Phase, Scenario, SnrTrace
from panolink.phy.channel.scenario import MAX_SAMPLES
from panolink.phy.channel.scenario_files import load_scenario, load_trace, parse_scenario, parse_trace

FADE = """\
# 20 dB for 5 s, then a fade to 2 dB
repeat = true
[[phase]]
seconds = 5
snr_db = 20
[[phase]]
seconds = 2
snr_db = [20, 2]
model = "jakes"
doppler_hz = 70
[[phase]]
seconds = 3
snr_db = 2
"""


def test_a_scenario_file():
    scenario = parse_scenario(FADE)
    assert scenario == Scenario(
        (
            Phase(5, {"snr_db": 20.0}),
            Phase(2, {"snr_db": 20.0, "model": "jakes", "doppler_hz": 70.0}, final_snr_db=2.0),
            Phase(3, {"snr_db": 2.0}),
        ),
        repeat=True,
    )
    assert str(scenario) == "scenario of 3 phases, 10 s, then again"
    base = Conditions("awgn", snr_db=7)
    times = np.array([0, 4.9, 5, 6, 6.5, 7, 9.9, 10, 16])
    np.testing.assert_allclose(scenario.snr_db(base, times), [20, 20, 20, 11, 6.5, 2, 2, 20, 11])
    assert [scenario.conditions(base, t).model for t in (0, 6, 9, 16)] == ["awgn", "jakes", "awgn", "jakes"]
    assert scenario.conditions(base, 6) == Conditions("jakes", snr_db=20, doppler_hz=70)


def test_without_repeat_the_last_phase_stays_as_it_ended():
    scenario = parse_scenario("[[phase]]\nseconds = 1\nerasure_rate = 0.5\n[[phase]]\nseconds = 2\nsnr_db = [0, 8]")
    base = Conditions("awgn", snr_db=7)
    np.testing.assert_allclose(scenario.snr_db(base, np.array([0.5, 2, 3, 1e6])), [7, 4, 8, 8])
    assert [scenario.conditions(base, t).erasure_rate for t in (0.5, 1e6)] == [0.5, 0]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("seconds = 2", "seconds 2", "line 7: expected '=' after a key"),
        ("seconds = 2", "seconds = -2", "line 7: seconds is -2.0; allowed: above 0"),
        ("seconds = 2", "seconds = inf", "line 7: seconds is inf"),
        ("seconds = 2", "seconds = true", "line 7: seconds is True; allowed: a number"),
        ("seconds = 2", "second = 2", "line 7: unknown setting 'second'; allowed: seconds, model"),
        ("seconds = 2", "seed = 2", "line 7: unknown setting 'seed'; allowed"),
        ("seconds = 2", 'seconds = 2\nsnr = "20"', "line 8: snr is '20'; allowed: a number"),
        ("seconds = 2\n", "", "line 6: the phase does not say how many seconds it lasts"),
        ("[20, 2]", "'low'", "line 8: snr_db is 'low'; allowed: a number, or [from, to]"),
        ("[20, 2]", "[20, 2, 1]", "line 8: snr_db is [20, 2, 1]; allowed: a number, or [from, to]"),
        ("[20, 2]", "[20, 200]", "line 8: snr_db is 200.0 dB; allowed: -50 … 100"),
        ("[20, 2]", "nan", "line 8: snr_db is nan dB; allowed: -50 … 100"),
        ('"jakes"', '"rain"', "line 9: unknown channel model 'rain'; allowed: ideal"),
        ('"jakes"', "3", "line 9: model is 3; allowed: the name of one"),
        ("doppler_hz = 70", "coherence_symbols = 1.5", "line 10: coherence_symbols is 1.5; allowed: a whole number"),
        ("doppler_hz = 70", "erasure_rate = 0.9\nerasure_burst = 2", "line 6: erasure_burst is 2.0; allowed at"),
        ("repeat = true", "repeat = 2", "line 2: repeat is 2; allowed: true, false"),
        ("repeat = true", "again = true", "line 2: unknown setting 'again'; allowed: repeat, phase"),
        (FADE[37:], "phase = 3", "line 2: phases are tables"),
        (FADE, "", ": 0 phases; allowed: 1 …"),
        (FADE, "phase = [{seconds = 1}, {second = 1}]", ", phase 2: unknown setting 'second'"),
    ],
)
def test_an_error_in_a_scenario_is_told_with_its_line(before, after, message, tmp_path: Path):
    assert before in FADE
    path = tmp_path / "fade.toml"
    path.write_text(FADE.replace(before, after, 1))
    with pytest.raises(SignalError) as caught:
        load_scenario(path)
    line = str(caught.value)
    assert line.startswith(str(path)) and message in line and "\n" not in line


def test_a_trace_file(tmp_path: Path):
    path = tmp_path / "drive.csv"
    path.write_text("# recorded\nsnr_db,satellites,time_s\n17.5,4,1000.0\n\n10,5,1000.5\n")
    trace = load_trace(path)
    assert trace == SnrTrace((1000.0, 1000.5), (17.5, 10.0))
    assert str(trace) == "SNR trace of 2 samples, 0.5 s"
    base = Conditions()
    np.testing.assert_allclose(trace.snr_db(base, np.array([0, 0.25, 0.5, 9])), [17.5, 13.75, 10, 10])
    again = load_trace(path, repeat=True)
    np.testing.assert_allclose(again.snr_db(base, np.array([0.25, 0.75])), [13.75, 13.75])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": no line at all"),
        ("time_s,snr\n0,1", ", line 1: no column 'snr_db'; needed: time_s, snr_db"),
        ("time_s,snr_db\n0,1\n# pause\n1,loud", ", line 4: snr_db is 'loud'; allowed: a number"),
        ("time_s,snr_db\n0,1\n1,nan", ", line 3: snr_db is nan dB; allowed: -50 … 100"),
        ("time_s,snr_db\ninf,1", ", line 2: time inf s is not finite"),
        ("time_s,snr_db\n0,1\n0,2", ", line 3: time 0.0 s does not come after 0.0 s"),
        ("time_s,snr_db\n0,1,2", ", line 2: 3 values for 2 columns"),
        ("time_s,snr_db\n", ": no samples"),
        ("time_s,snr_db\n" + "0,1\n" * (MAX_SAMPLES + 1), f": {MAX_SAMPLES + 1} samples; allowed: 1 … {MAX_SAMPLES}"),
    ],
)
def test_an_error_in_a_trace_is_told_with_its_line(text, message):
    with pytest.raises(SignalError) as caught:
        parse_trace(text, name="drive.csv")
    assert str(caught.value).startswith("drive.csv" + message)


def test_what_is_no_text_is_neither(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00\x80")
    for load in (load_scenario, load_trace):
        with pytest.raises(SignalError, match="x: not a text file"):
            load(tmp_path / "x")


PHASE = "[[phase]]\nseconds = 5\n"
MANY = "7" * 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{PHASE}model = 'jakes'\ndoppler_hz = {MANY}", ", line 4: doppler_hz is 777"),
        (f"[[phase]]\nseconds = {MANY}", ", line 2: seconds is 777"),
        (f"{PHASE}snr_db = [1, -{MANY}]", ", line 3: snr_db is -777"),
        (f"{PHASE}snr_db = {'7' * 5000}", ", line 3: snr_db is a number of more than 400 digits"),
        (f"{PHASE}snr_db = 0x{'f' * 5000}", ", line 3: snr_db is beyond what can be shown"),
        (f"{PHASE}model = 0x{'f' * 5000}", ", line 3: model is beyond what can be shown"),
        (f"{PHASE}snr_db = [0x{'f' * 5000}]", ", line 3: snr_db is beyond what can be shown"),
        (f"repeat = 0x{'f' * 5000}\n{PHASE}", ", line 1: repeat is beyond what can be shown"),
        (f"{PHASE}coherence_symbols = 1e{MANY}", ", line 3: coherence_symbols is inf; allowed: a whole number"),
        (f"{PHASE}snr_db = 1e{MANY}", ", line 3: snr_db is inf dB; allowed: -50 … 100"),
        (f"{PHASE}snr_db = {'[' * 5000}{']' * 5000}", ", line 3: snr_db has more than 50 brackets in one another"),
        (f"{PHASE}snr_db = [\n{'[' * 5000}1{']' * 5000}]", ", line 4: snr_db has more than 50 brackets"),
        (f"{PHASE}snr_db = {'{a=' * 5000}1{'}' * 5000}", ", line 3: snr_db has more than 50 brackets in one another"),
        (f"{PHASE}snr_db = {'[' * 5000}", ", line 3: snr_db has more than 50 brackets in one another"),
        (f"{PHASE}snr_db.{'a.' * 5000}b = 1", ", line 3: snr_db is "),
        (f"{PHASE}model = '{'x' * 9000}'", ", line 3: unknown channel model 'xxx"),
        (f"{PHASE}{'x' * 9000} = 1", ", line 3: unknown setting 'xxx"),
        (f"{'x' * 9000} = 1", ", line 1: unknown setting 'xxx"),
    ],
)
def test_what_exceeds_the_limits_of_numbers_and_brackets_is_told_with_its_line(text: str, message: str):
    with pytest.raises(SignalError) as caught:
        parse_scenario(text, name="fade.toml")
    line = str(caught.value)
    assert line.startswith("fade.toml" + message) and "\n" not in line and len(line) < 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"time_s,snr_db\n0,{'1' * 140_000}", ", line 2: field larger than field limit"),
        (f"time_s,{'x' * 140_000}\n0,1", ", line 1: field larger than field limit"),
        (f"time_s,snr_db\n0,1\n1,{'x' * 5000}", ", line 3: snr_db is 'xxx"),
        (f"time_s,snr_db\n0,{'1' * 5000}", ", line 2: snr_db is inf dB; allowed: -50 … 100"),
        (f"time_s,snr_db\n1e{MANY},1", ", line 2: time inf s is not finite"),
    ],
)
def test_what_exceeds_the_limits_of_a_field_is_told_with_its_line(text: str, message: str):
    with pytest.raises(SignalError) as caught:
        parse_trace(text, name="drive.csv")
    line = str(caught.value)
    assert line.startswith("drive.csv" + message) and "\n" not in line and len(line) < 400


def test_a_case_of_too_large_a_number():
    path = Path(__file__).parents[2] / "cases" / "scenario_overflow.toml"
    with pytest.raises(SignalError, match=r"scenario_overflow.toml, line 14: doppler_hz is 79999") as caught:
        load_scenario(path)
    assert "\n" not in str(caught.value)


def test_the_guide_makes_files_before_it_uses_them_and_they_load():
    guide = (Path(__file__).parents[3] / "docs" / "guide.md").read_text()
    scenarios = re.findall(r"    cat > fade\.toml <<'END'\n(.*?)    END\n", guide, re.DOTALL)
    assert scenarios and all(parse_scenario(textwrap.dedent(one), name="fade.toml").phases for one in scenarios)
    (trace,) = re.findall(r"printf '(.+)' > drive\.csv", guide)
    assert parse_trace(trace.replace("\\n", "\n"), name="drive.csv").seconds == 9
    for made, used in (("cat > fade.toml", "--scenario fade.toml"), ("> drive.csv", "--trace drive.csv")):
        assert 0 < guide.index(made) < guide.index(used)
