from panolink.picture_format import PictureFormat


def test_names_are_those_of_the_command_line_and_of_the_client():
    """They are what users write: none goes, and each is a plain string."""
    assert [*PictureFormat] == ["png", "webp", "jpeg", "rgb8"] and f"{PictureFormat.RGB8}" == "rgb8"
