"""`tests/` mirrors `shared/panolink/`: the tests of a module stand where its name says."""

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "shared" / "panolink"

OTHER_TREES = {"benchmarks", "deploy", "e2e", "examples", "fuzz", "packaging", "scripts"}
"""Folders of tests that are of no module: of other folders of the repository, and of services as processes."""

OF_SEVERAL_MODULES = {
    "codec/test_bad_input.py": "pictures and packets that make no sense, through the whole codec",
    "codec/test_golden.py": "what earlier versions wrote",
    "rpc/security/test_security.py": "who may speak to a running server",
    "rpc/server/test_shutdown.py": "SIGTERM ends a process, whatever hangs in it",
    "rpc/test_protocol.py": "the protocol as it is published",
    "services/test_analogue.py": "amplitudes through all three services",
    "services/test_channel_conditions.py": "conditions from the channel's settings to the next hop",
    "services/test_bad_numbers.py": "numbers that make no sense, at each of the services",
    "services/test_limits.py": "what each of the services takes on at a time",
    "services/test_predicted_streams.py": "streams of pictures through all three services",
    "services/test_link.py": "panoramas through all three services",
    "services/test_lockouts.py": "peers that take places and do not use them, at each of the services",
    "services/test_watching.py": "log lines and spans of one panorama at all three services",
    "test_docstrings.py": "the style of all docstrings",
    "test_mirror.py": "this",
    "test_package.py": "the package as it is imported",
}

WITHOUT_TESTS_OF_THEIR_OWN = {
    "services/receiver/metrics.py": "deploy/test_prometheus.py",
    "services/receiver/servicer.py": "services/test_link.py",
    "services/receiver/settings.py": "rpc/server/test_settings.py",
    "services/transmitter/decode_worker.py": "services/transmitter/test_picture_decoder.py",
    "services/transmitter/metrics.py": "deploy/test_prometheus.py",
    "services/transmitter/panorama_encoding.py": "services/test_link.py",
    "services/transmitter/pipeline.py": "services/test_link.py",
    "services/transmitter/servicer.py": "services/test_link.py",
    "services/transmitter/settings.py": "rpc/server/test_settings.py",
    "services/transmitter/stream_session.py": "services/test_link.py",
    "services/viewer/browser.py": "services/viewer/test_app.py",
    "services/viewer/metrics.py": "services/viewer/test_hub.py",
    "services/viewer/server.py": "services/viewer/test_app.py",
    "services/viewer/settings.py": "services/viewer/test_app.py",
}
"""Modules that the tests of others run, with one that does. It only gets shorter: new modules come with their tests."""


def modules() -> set[str]:
    found = {path.relative_to(PACKAGE) for folder in (PACKAGE, PACKAGE / "services") for path in folder.rglob("*.py")}
    return {str(path) for path in found if not path.name.startswith("__") and path.parts[0] != "v1"}


def mirror(module: str) -> Path:
    return TESTS / Path(module).with_name(f"test_{Path(module).name}")


def test_every_module_has_tests_of_its_name() -> None:
    assert {module for module in modules() if not mirror(module).exists()} <= set(WITHOUT_TESTS_OF_THEIR_OWN)


def test_what_runs_the_others_is_there() -> None:
    for module, tests in WITHOUT_TESTS_OF_THEIR_OWN.items():
        assert (TESTS / tests).exists(), f"{tests} is to test {module}"


def test_every_file_of_tests_has_its_module() -> None:
    files = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    mirrored = {mirror(module).relative_to(TESTS) for module in modules()}
    left = {str(path) for path in files - mirrored if path.parts[0] not in OTHER_TREES}
    assert left <= set(OF_SEVERAL_MODULES)
