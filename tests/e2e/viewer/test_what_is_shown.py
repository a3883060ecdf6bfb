"""What the page shows of what its viewer says, in whatever order that comes; the viewer is scripted."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.viewer.conftest import pixels, until, wait
from tests.e2e.viewer.scripted import Viewer, link

__all__ = ["link"]

pytestmark = pytest.mark.slow

Open = Callable[..., Any]


def grey(value: int) -> bytes:
    """A grey PNG file of 8 × 4 tokens of one kind."""
    file = io.BytesIO()
    Image.new("L", (8, 4), value).save(file, "PNG")
    return file.getvalue()


def kinds(**counts: int) -> dict[str, int]:
    names = ("concealed", "unchanged", "refined", "new", "new_feature", "lost")
    return dict.fromkeys(names, 0) | counts


def card(page: Any, title: str) -> str:
    """Value of one of the numbers."""
    return page.evaluate(
        "(title) => [...document.querySelectorAll('.card')]"
        ".find((card) => card.querySelector('h3').textContent === title).querySelector('.value').textContent",
        title,
    )


def test_the_tokens_are_those_of_the_panorama_whatever_its_number(open_page: Open) -> None:
    """A receiver that was restarted counts from one again."""
    viewer = Viewer()
    page = open_page(viewer=viewer)
    page.select_option("#overlay", "tokens")
    first = None
    for kind, name in ((1, "concealed"), (4, "new")):
        viewer.picture(burst_id=f"b-{kind}", source=f"{name} #1", kinds=kinds(**{name: 32}), tokens=grey(kind))
        wait(page, f"document.getElementById('caption').textContent.includes('{name} #1')")
        page.wait_for_timeout(300)
        if first is None:
            first = pixels(page).astype(int)
    until(lambda: np.abs(pixels(page).astype(int) - first).mean() > 10)


def test_numbers_are_those_of_the_panorama_that_is_shown(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    segments = {"sent": {"indices": 8}, "lost": {"indices": 2}, "unsent": 0, "recovered": 0}
    viewer.picture(original=True, snr_db=5.0, segments=segments, kinds=kinds(new=32))
    viewer.delivery("city #1")
    viewer.say(type="quality", source="city #1", vpsnr_db=31.5, vssim=0.9)
    until(lambda: card(page, "VPSNR") == "31.5 dB")
    assert [card(page, title) for title in ("Bits per pixel", "SNR", "Losses")] == ["0.125", "5.0 dB", "2 / 8"]
    viewer.picture(number=2, burst_id="b-2", source="another's", snr_db=9.0)
    until(lambda: card(page, "SNR") == "9.0 dB")
    for title in ("VPSNR", "VSSIM", "Bits per pixel", "Symbols per pixel", "Bits by layer", "Time by stage", "Tokens"):
        assert card(page, title) == "not known"
    assert not page.locator(".cards .part, .cards .legend li, .cards .stages li").count()
    page.click("text=Pause")
    viewer.picture(number=3, burst_id="b-3", source="another's too", snr_db=12.0)
    page.wait_for_selector("#strip button:has-text('3')")
    page.wait_for_timeout(500)
    assert card(page, "SNR") == "9.0 dB"
    page.click("#strip button:has-text('1')")
    until(lambda: card(page, "VPSNR") == "31.5 dB")


def test_of_a_fast_stream_the_newest_measurements_are_shown(open_page: Open) -> None:
    """They come when the next picture is there already."""
    viewer = Viewer()
    page = open_page(viewer=viewer)
    for number in range(1, 7):
        viewer.picture(original=True, number=number, burst_id=f"b-{number}", source=f"city #{number}")
        page.wait_for_timeout(200)
        viewer.say(type="quality", source=f"city #{number - 1}", vpsnr_db=20.0 + number, vssim=0.5)
        viewer.delivery(f"city #{number - 1}", bpp=number / 8)
    until(lambda: card(page, "VPSNR") == "26.0 dB" and card(page, "Bits per pixel") == "0.750")


def test_a_picture_is_compared_with_its_own_original_alone(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    originals = {}
    for name in ("white", "black"):
        file = io.BytesIO()
        Image.new("RGB", (64, 32), name).save(file, "JPEG")
        originals[name] = file.getvalue()
    late: list[Any] = []

    def sent(route: Any) -> None:
        if "second" in route.request.url:
            late.append(route)
        else:
            route.fulfill(body=originals["white"], content_type="image/jpeg")

    page.route("**/api/sent*", sent)
    page.click("[data-mode=difference]")
    viewer.picture(original=True, source="first #1")
    until(lambda: pixels(page).mean() > 200)
    viewer.picture(original=True, source="second #2", number=2, burst_id="b-2")

    def asked() -> bool:
        page.wait_for_timeout(50)
        return len(late) == 1

    until(asked)
    page.wait_for_timeout(300)
    assert pixels(page).mean() > 200 and "No. 1" in page.text_content("#caption")
    late[0].fulfill(body=originals["black"], content_type="image/jpeg")
    until(lambda: pixels(page).mean() < 20 and "No. 2" in page.text_content("#caption"))


def test_a_picture_without_its_original_is_not_compared_with_another_one(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    file = io.BytesIO()
    Image.new("RGB", (64, 32), "white").save(file, "JPEG")
    asked: list[str] = []

    def sent(route: Any) -> None:
        asked.append(route.request.url)
        if "first" in route.request.url:
            route.fulfill(body=file.getvalue(), content_type="image/jpeg")
        elif len(asked) == 2:
            route.fulfill(status=404, body="")  # a second one would not be answered

    page.route("**/api/sent*", sent)
    page.click("[data-mode=difference]")
    viewer.picture(original=True, source="first #1")
    until(lambda: pixels(page).mean() > 200)
    viewer.picture(original=True, source="second #2", number=2, burst_id="b-2")
    wait(page, "document.getElementById('caption').textContent.includes('No. 2')")
    assert "its original is not kept any more" in page.text_content("#caption")
    until(lambda: pixels(page).mean() < 20)
    assert len(asked) == 2


def test_a_map_that_is_there_while_the_original_is_fetched_is_shown_too(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    file = io.BytesIO()
    Image.new("RGB", (64, 32), "white").save(file, "JPEG")
    late: list[Any] = []
    maps: list[str] = []

    def map_of(route: Any) -> None:
        maps.append(route.request.url)
        route.fulfill(body=grey(200), content_type="image/png")

    page.route("**/api/sent*", lambda route: late.append(route))
    page.route("**/api/activation*", map_of)
    page.click("[data-mode=compare]")
    page.select_option("#overlay", "activation")
    viewer.picture(original=True)

    def asked() -> bool:
        page.wait_for_timeout(50)
        return len(late) == 1

    until(asked)
    viewer.delivery("city #1", activation=True)
    page.wait_for_timeout(200)
    late[0].fulfill(body=file.getvalue(), content_type="image/jpeg")

    def mapped() -> bool:
        page.wait_for_timeout(50)
        return len(maps) == 1

    until(mapped)


def test_a_lost_webgl_context_comes_back_with_the_panorama(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    page.click("[data-mode=sent]")
    file = io.BytesIO()
    Image.new("RGB", (64, 32), "white").save(file, "JPEG")
    page.route("**/api/sent*", lambda route: route.fulfill(body=file.getvalue(), content_type="image/jpeg"))
    viewer.picture(original=True)
    until(lambda: pixels(page).mean() > 200)
    page.evaluate(
        "window.lost = document.getElementById('sphere').getContext('webgl2').getExtension('WEBGL_lose_context');"
        "window.lost.loseContext()"
    )
    until(lambda: pixels(page).mean() < 100)
    page.evaluate("window.lost.restoreContext()")
    until(lambda: pixels(page).mean() > 200)


@pytest.mark.parametrize("status, says", [(404, "is not kept any more"), (401, "is refused (401)")])
def test_why_an_original_is_not_there(open_page: Open, status: int, says: str) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    page.route("**/api/sent*", lambda route: route.fulfill(status=status, body=""))
    page.click("[data-mode=compare]")
    viewer.picture(original=True)
    wait(page, f"document.getElementById('caption').textContent.includes('its original {says}')")


def test_an_original_that_is_not_kept_is_told(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    viewer.picture(original=True)
    wait(page, "document.getElementById('caption').textContent.includes('city #1')")
    page.click("[data-mode=compare]")  # the viewer that has the page's files has sent nothing
    wait(page, "document.getElementById('caption').textContent.includes('its original is not kept any more')")
    page.click("[data-mode=received]")
    wait(page, "!document.getElementById('caption').textContent.includes('kept')")


def test_an_original_that_comes_late_is_not_shown_beside_another(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    jpeg = io.BytesIO()
    Image.new("RGB", (64, 32), "white").save(jpeg, "JPEG")
    late: list[Any] = []

    def sent(route: Any) -> None:
        if "first" in route.request.url:
            late.append(route)
        else:
            route.fulfill(body=jpeg.getvalue(), content_type="image/jpeg")

    page.route("**/api/sent*", sent)
    for number, source in enumerate(("first #1", "second #2"), 1):
        viewer.picture(number=number, burst_id=f"b-{number}", source=source, original=True)
        page.wait_for_selector(f"#strip button:has-text('{number}')")
    page.click("#strip button:has-text('1')")
    wait(page, "document.getElementById('caption').textContent.includes('first')")
    page.click("[data-mode=compare]")

    def asked() -> bool:
        page.wait_for_timeout(50)
        return len(late) == 1

    until(asked)
    page.click("#strip button:has-text('2')")
    page.wait_for_selector("#divider:visible")
    late[0].fulfill(body=jpeg.getvalue(), content_type="image/jpeg")
    page.wait_for_timeout(500)
    assert page.is_visible("#divider")


def test_what_the_channel_says_is_shown_when_the_slider_is_left_alone(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    page.fill("#snr", "4.5")
    viewer.conditions(8.0)  # somebody else's, within a second
    wait(page, "document.getElementById('snr').value === '8'")
    page.fill("#snr", "20")
    viewer.say(type="refused", text="this channel cannot do that")
    page.wait_for_selector(".notice")
    wait(page, "document.getElementById('snr').value === '8'")


@pytest.mark.parametrize("snr_db", [40.0, -12.0, 12.3])
def test_the_channel_s_snr_is_shown_where_the_slider_does_not_have_it(open_page: Open, snr_db: float) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    assert page.text_content("#channel output") == "–", "nothing is known yet"
    viewer.conditions(snr_db)
    wait(page, f"document.querySelector('#channel output').textContent === '{snr_db:.1f} dB'")


def test_an_original_that_breaks_off_keeps_no_picture_back(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    page.route("**/api/sent*", lambda route: route.fulfill(status=200, body=b"no picture", content_type="image/jpeg"))
    page.click("[data-mode=compare]")
    for number in (1, 2, 3):
        viewer.picture(burst_id=f"b-{number}", number=number, source=f"city #{number}", original=True)
    wait(page, "document.getElementById('caption').textContent.includes('No. 3')")
    assert "its original did not come" in page.text_content("#caption")


def test_tokens_lie_on_what_they_are_of_where_they_reach_beyond_it(open_page: Open) -> None:
    """Of 24 rows of pixels the first row of tokens has 16: it ends 30 degrees below the horizon, not at it."""
    viewer = Viewer()
    page = open_page(viewer=viewer)
    page.select_option("#overlay", "tokens")
    file = io.BytesIO()
    Image.fromarray(np.array([[2] * 3, [4] * 3], np.uint8)).save(file, "PNG")  # unchanged, and new
    viewer.picture(width=48, height=24, kinds=kinds(unchanged=3, new=3), tokens=file.getvalue())
    wait(page, "document.getElementById('caption').textContent.includes('48 × 24')")
    page.wait_for_timeout(200)
    shown = pixels(page)
    middle, below = (shown[int(shown.shape[0] * at), shown.shape[1] // 2] for at in (0.4, 0.6))
    assert np.array_equal(middle, below)


def test_a_receiver_that_refuses_its_watcher_need_not_be_started(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    viewer.services(up=False, error="127.0.0.1:1: as many watch as are allowed")
    page.wait_for_selector("#empty:has-text('as many watch as are allowed')")
    assert "is not watched" in page.inner_text("#empty h2") and not page.locator("#empty code").count()
    viewer.services(receiver=False)
    page.wait_for_selector("#empty code:has-text('python -m')")


def test_the_end_of_an_upload_is_not_that_of_a_stream(open_page: Open) -> None:
    viewer = Viewer()
    page = open_page(viewer=viewer)
    viewer.say(type="sending", name="city", repeat=True)
    page.wait_for_selector("text=Sending city")
    page.route("**/api/upload*", lambda route: route.fulfill(status=415, json={"error": "not a picture"}))
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no image"})
    page.wait_for_selector(".notice:has-text('not a picture')")
    page.wait_for_selector("text=Sending city")


def test_keys_of_the_browser_stay_the_browser_s(open_page: Open) -> None:
    page = open_page(viewer=Viewer())
    taken = """(how) => !document.getElementById('sphere').dispatchEvent(
        new KeyboardEvent('keydown', { bubbles: true, cancelable: true, ...how }))"""
    for key in ("+", "-", "=", "ArrowLeft", "b"):
        assert page.evaluate(taken, {"key": key})
        for modifier in ("ctrlKey", "metaKey", "altKey"):
            assert not page.evaluate(taken, {"key": key, modifier: True})


def test_a_browser_that_keeps_nothing_and_has_no_full_screen(open_page: Open) -> None:
    missing = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('denied'); } });"
        "delete Element.prototype.requestFullscreen;"
    )
    page = open_page(scripts=[missing], viewer=Viewer())
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.click("#full")
    page.wait_for_selector(".notice:has-text('no full screen')")


def test_a_browser_without_webgl_is_told(browser: Any, link: Any) -> None:
    context = browser.new_context()
    context.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page = context.new_page()
    page.goto(link.url)
    page.wait_for_selector("#empty:has-text('WebGL')")
    context.close()
