import numpy as np
import pytest

from panolink.codec.bitstream import StreamPlace
from panolink.codec.codec import Codec
from panolink.codec.streaming.decoder import StreamDecoder
from panolink.codec.streaming.encoder import HOLDS_LITTLE, WHOLE_FROM, NoiseEstimate, StreamEncoder, turn_of
from panolink.codec.streaming.state import MOST_STATES, Kind, TokenState
from panolink.errors import ConflictError, RateError
from panolink.metrics.viewport import vpsnr
from panolink.sphere.focus import Focus
from panolink.sphere.metadata import SphereMetadata

BPP = 0.6


def same(one: TokenState, other: TokenState) -> bool:
    names = ("indices", "unknown", "steps", "differences", "kinds")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.fixture
def scene(panorama: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(panorama)


@pytest.fixture(scope="module")
def base() -> Codec:
    return Codec.load("base", device="cpu")


@pytest.mark.parametrize("robust", [False, True])
def test_twins_hold_the_same(tiny: Codec, scene: np.ndarray, robust: bool):
    encoder, decoder, random = StreamEncoder(tiny, robust=robust), StreamDecoder(tiny), np.random.default_rng(0)
    references = []
    for number in range(1, 6):
        noisy = np.clip(scene + random.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)
        if number == 4:
            noisy[16:48] = random.integers(0, 256, (32, scene.shape[1], 3))
        packet = encoder.encode(noisy, bpp=BPP)
        assert packet.header.stream and packet.header.stream.number == number
        assert packet.bpp <= BPP
        state = decoder.update(packet)
        encoder.acknowledge(number)
        assert encoder.reference is not None and same(state, encoder.reference)
        references.append(packet.header.stream.reference)
    assert references[:3] == [0, 1, 2]


def test_a_still_scene_takes_next_to_nothing_once_all_is_said(tiny: Codec, scene: np.ndarray):
    encoder = StreamEncoder(tiny)
    sizes = []
    for number in range(1, 16):
        sizes.append(len(encoder.encode(scene, bpp=BPP).to_bytes()))
        encoder.acknowledge(number)
    assert sizes[-1] < sizes[0] / 4


def test_a_still_scene_gets_closer_from_picture_to_picture(base: Codec, scene: np.ndarray):
    encoder, errors = StreamEncoder(base), []
    for number in range(1, 6):
        encoder.encode(scene, bpp=0.15)
        encoder.acknowledge(number)
        assert encoder.reference is not None
        change = encoder.prepare(scene)
        assert change is not None
        errors.append(float(np.square(change.model.from_reference).sum()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.8 * errors[0]


def test_without_acknowledgements_each_is_predicted_from_the_last_one_known(tiny: Codec, scene: np.ndarray):
    encoder = StreamEncoder(tiny)
    first = encoder.encode(scene, bpp=BPP)
    assert encoder.encode(scene, bpp=BPP).header.stream.reference == 0  # type: ignore[union-attr]
    encoder.acknowledge(first.header.stream.number)  # type: ignore[union-attr]
    for _ in range(3):
        assert encoder.encode(scene, bpp=BPP).header.stream.reference == 1  # type: ignore[union-attr]
    encoder.acknowledge(4)
    encoder.acknowledge(3)  # late: teaches nothing any more
    assert encoder.reference is not None and encoder.reference.number == 4


@pytest.mark.parametrize("first", [True, False])
def test_what_was_lost_is_mirrored(tiny: Codec, scene: np.ndarray, first: bool):
    encoder, decoder, random = StreamEncoder(tiny, robust=True), StreamDecoder(tiny), np.random.default_rng(1)
    for number in range(1, 9):
        noisy = np.clip(scene + random.normal(0, 20, scene.shape), 0, 255).astype(np.uint8)
        packet = encoder.encode(noisy, bpp=BPP)
        lost = {place for place in range(1, len(packet.slices)) if random.random() < 0.3 and (first or number > 1)}
        payloads = [None if place in lost else piece.payload for place, piece in enumerate(packet.slices)]
        state = decoder.update(type(packet).from_payloads(payloads))
        encoder.acknowledge(number, lost)
        assert encoder.reference is not None and same(state, encoder.reference), number
    assert decoder.codec.reconstruct([state.tokens()])[0].shape == scene.shape


def test_a_lost_header_leaves_everything_as_it_was(tiny: Codec, scene: np.ndarray):
    encoder = StreamEncoder(tiny)
    encoder.encode(scene, bpp=BPP)
    encoder.acknowledge(1)
    encoder.encode(scene, bpp=BPP)
    encoder.acknowledge(2, {0})
    assert encoder.reference is not None and encoder.reference.number == 1


def test_a_turn_of_the_camera_is_one_number(tiny: Codec, scene: np.ndarray):
    encoder, decoder = StreamEncoder(tiny), StreamDecoder(tiny)
    decoder.update(encoder.encode(scene, bpp=BPP))
    encoder.acknowledge(1)
    still = len(encoder.encode(scene, bpp=BPP).to_bytes())
    encoder.acknowledge(1)
    turned = np.roll(scene, 16 * 3, axis=1)
    packet = encoder.encode(turned, bpp=BPP)
    assert packet.header.stream is not None and packet.header.stream.turn == 3
    assert len(packet.to_bytes()) < still + 16
    assert decoder.update(packet).shape == encoder.reference.shape  # type: ignore[union-attr]


def test_another_size_is_a_whole_picture(tiny: Codec, scene: np.ndarray):
    encoder = StreamEncoder(tiny)
    encoder.encode(scene, bpp=BPP)
    encoder.acknowledge(1)
    packet = encoder.encode(np.ascontiguousarray(scene[:, : scene.shape[1] // 2]), bpp=2.0)
    assert packet.header.stream is not None and packet.header.stream.reference == 0


def test_forgetting_makes_the_next_one_whole(tiny: Codec, scene: np.ndarray):
    encoder = StreamEncoder(tiny)
    encoder.encode(scene, bpp=BPP)
    encoder.acknowledge(1)
    assert encoder.bytes > 0
    encoder.forget()
    assert encoder.bytes == 0
    assert encoder.encode(scene, bpp=BPP).header.stream.reference == 0  # type: ignore[union-attr]


def test_states_under_way_are_bounded(tiny: Codec, scene: np.ndarray):
    encoder = StreamEncoder(tiny)
    for _ in range(12):
        encoder.encode(scene, bpp=BPP)
    encoder.acknowledge(1)
    assert encoder.reference is None  # so old that it is no longer known
    encoder.acknowledge(12)
    assert encoder.reference is not None


def test_focus_is_finer(tiny: Codec, scene: np.ndarray):
    encoder = StreamEncoder(tiny)
    encoder.encode(scene, bpp=BPP)
    encoder.acknowledge(1)
    random = np.random.default_rng(2)
    changed = np.clip(scene + random.normal(0, 25, scene.shape), 0, 255).astype(np.uint8)
    packet = encoder.encode(changed, bpp=BPP / 2, focus=[Focus(0, 0, 60)])
    assert packet.header.focus
    encoder.acknowledge(2)
    state = encoder.reference
    assert state is not None
    sent = np.argwhere((state.kinds == Kind.REFINED) | (state.kinds == Kind.NEW_FEATURE))
    cols = state.shape[1]
    assert (np.abs((sent[:, 1] + 0.5) / cols - 0.5) < 0.3).mean() > 0.8


def test_a_turn_by_less_than_a_token_is_as_good_as_single_pictures(base: Codec, panorama: np.ndarray):
    """Most indices stay as they are, and features are worthless: a whole picture is better."""
    encoder, decoder = StreamEncoder(base), StreamDecoder(base)
    for number in range(4):
        picture = np.roll(panorama, 7 * number, axis=1)
        packet = encoder.encode(picture, bpp=0.6)
        encoder.acknowledge(number + 1)
        assert packet.bpp <= 0.6
        single = base.decode(base.encode(picture, bpp=0.6))
        assert vpsnr(picture, decoder.decode(packet)) > vpsnr(picture, single) - 0.2


def test_a_whole_picture_that_borrows_has_to_be_better_by_far(base: Codec, panorama: np.ndarray):
    encoder, other = StreamEncoder(base), np.ascontiguousarray(panorama[::-1, ::-1])
    encoder.encode(panorama, bpp=0.5)
    encoder.acknowledge(1)
    drifted = np.clip(panorama * 1.15, 0, 255).astype(np.uint8)
    for picture, better in ((drifted, False), (other, True)):
        change = encoder.prepare(picture)
        assert change and (change.share_moved > WHOLE_FROM or change.model.error_over_codes > HOLDS_LITTLE)
        update, _ = encoder.within(change, 0.005)
        assert not encoder.whole_is_better(change, update, 0.005)  # none fits: not even a header
        assert not encoder.whole_is_better(change, update, 0.015)  # nor its indices
        assert encoder.whole_is_better(change, update, 0.005, most_bpp=0.05 if picture is drifted else 0.5) == better


@pytest.mark.slow
def test_changes_fill_their_bits_whatever_they_are(base: Codec, panorama: np.ndarray):
    """Where all that pays takes a few bits too many, a little less room leaves all of it: something else has to go."""
    encoder = StreamEncoder(base)
    encoder.encode(panorama, bpp=0.3)
    encoder.acknowledge(1)
    noise = np.random.default_rng(0).normal(0, 2, panorama.shape)
    change = encoder.prepare(np.clip(np.roll(panorama, 23, axis=1) + noise, 0, 255).astype(np.uint8))
    assert change
    for bpp in np.linspace(0.2, 0.45, 40):
        update, packet = encoder.within(change, float(bpp), joined=True)
        assert 0.93 * bpp < packet.bpp <= bpp and update.kept.any()


def test_too_little_for_a_whole_picture_says_the_least(tiny: Codec, scene: np.ndarray):
    with pytest.raises(RateError, match="least"):
        StreamEncoder(tiny).encode(scene, bpp=0.001)


def test_a_pose_counts_in_whole_pictures_and_in_changes(tiny: Codec, scene: np.ndarray):
    encoder, pose = StreamEncoder(tiny), SphereMetadata(225, 17, -12)
    for picture, bpp in ((scene, 0.5), (scene[:, ::-1], 0.4)):
        packet = encoder.encode(np.ascontiguousarray(picture), bpp=bpp, sphere=pose)
        assert packet.header.sphere == pose and packet.bpp <= bpp
        encoder.acknowledge(packet.header.stream.number)  # type: ignore[union-attr]


def test_panoramas_of_a_stream_are_coded_one_after_the_other(tiny: Codec, scene: np.ndarray):
    encoder = StreamEncoder(tiny)
    tokens = tiny.tokens_at(scene, 0.5)
    packet = tiny.pack(tokens, stream=StreamPlace(encoder.next_number))
    encoder.encode(scene, bpp=0.5)
    with pytest.raises(ConflictError, match="packet 1 of a stream was coded beside another; wanted is 2"):
        encoder.sent_whole(tokens, packet)


def test_turn_of_finds_whole_tokens_only_where_they_fit():
    random = np.random.default_rng(4)
    before = random.integers(0, 50, (8, 32))
    assert turn_of(before, before) == 0
    assert turn_of(before, np.roll(before, 5, axis=1)) == 5
    assert turn_of(before, random.integers(0, 50, (8, 32))) == 0
    assert turn_of(before, before[:4]) == 0


def test_noise_is_that_of_the_stillest():
    import torch

    generator, estimate = torch.Generator().manual_seed(0), NoiseEstimate()
    still = torch.randn((1, 64, 8, 16), generator=generator) * 10
    indices = np.arange(8 * 16).reshape(8, 16)
    assert estimate.update(still + torch.randn(still.shape, generator=generator), indices) == 0
    moved = still.clone()
    moved[..., :8] += 30 * torch.randn((1, 64, 8, 8), generator=generator)
    found = estimate.update(moved + torch.randn(still.shape, generator=generator), indices)
    assert 0.6 * 64 < found < 1.1 * 64
    turned = moved.roll(3, dims=-1) + torch.randn(still.shape, generator=generator)
    assert 0.6 * 64 < estimate.update(turned, np.roll(indices, 3, axis=1)) < 1.1 * 64


def test_a_camera_that_turns_is_no_noise_when_receipts_are_late(base: Codec, panorama: np.ndarray):
    """Each picture is compared with the one before it, whatever the receiver is known to hold."""
    encoder = StreamEncoder(base)
    encoder.encode(panorama, bpp=0.5)
    encoder.acknowledge(1)
    for number in range(1, 4):  # never acknowledged: turns add up against the reference
        change = encoder.prepare(np.roll(panorama, 16 * number, axis=1))
        assert change and change.turn == number
        assert change.model._noise < 1e-3


def test_the_same_picture_again_tells_nothing_of_the_noise(tiny: Codec, panorama: np.ndarray):
    """Whether it is asked for twice, as where a rate does not fit, or its source repeats it."""
    encoder, random = StreamEncoder(tiny), np.random.default_rng(0)
    encoder.encode(panorama, bpp=0.5)
    encoder.acknowledge(1)
    noisy = [np.clip(panorama + random.normal(0, 5, panorama.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    for image in noisy:
        assert encoder.prepare(image) is not None
    value = encoder._noise._value
    assert value > 0
    assert encoder.prepare(noisy[1].copy()) is not None
    assert encoder._noise._value == value


def test_receipts_that_come_too_late_are_logged(tiny: Codec, panorama: np.ndarray, caplog: pytest.LogCaptureFixture):
    encoder = StreamEncoder(tiny)
    for _ in range(MOST_STATES):
        encoder.encode(panorama, bpp=0.5)
    encoder.acknowledge(2)
    assert encoder.reference is not None and not caplog.text
    late = StreamEncoder(tiny)
    for _ in range(MOST_STATES):
        late.encode(panorama, bpp=0.5)
    late.acknowledge(1)
    assert late.reference is None and "its receipt comes 7 pictures late" in caplog.text


def test_receipts_that_become_late_are_logged_too(tiny: Codec, panorama: np.ndarray, caplog: pytest.LogCaptureFixture):
    """When there is a reference, with which the stream stays."""
    encoder = StreamEncoder(tiny)
    encoder.encode(panorama, bpp=BPP)
    encoder.acknowledge(1)
    for _ in range(MOST_STATES):
        encoder.encode(panorama, bpp=BPP)
    assert not caplog.records
    encoder.acknowledge(2)
    assert "packet 2 of a stream: its receipt comes 7 pictures late" in caplog.text


@pytest.mark.parametrize("bpp", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_make_no_sense_are_refused_with_every_picture(tiny: Codec, scene: np.ndarray, bpp: float):
    encoder = StreamEncoder(tiny)
    with pytest.raises(RateError, match="must be a positive number"):
        encoder.encode(scene, bpp=bpp)
    encoder.encode(scene, bpp=BPP)
    encoder.acknowledge(1)
    with pytest.raises(RateError, match="must be a positive number"):
        encoder.encode(scene, bpp=bpp)
