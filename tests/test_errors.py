import inspect

import pytest

from panolink import errors
from panolink.errors import PanolinkError

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


def test_all_are_of_one_tree() -> None:
    assert PanolinkError in ERRORS and len(ERRORS) > 8
    assert all(issubclass(kind, PanolinkError) and kind.__doc__ for kind in ERRORS)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_the_module_draws_the_tree_as_it_is(kind: type[PanolinkError]) -> None:
    """Each error stands below its parent in the docstring, indented by its depth."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    places = [number for number, line in enumerate(lines) if kind.__name__ in line.split()]
    assert len(places) == 1, f"{kind.__name__} is drawn {len(places)} times"
    if kind is PanolinkError:
        return
    depth = lines[places[0]].index(kind.__name__)
    above = [line for line in lines[: places[0]] if len(line) - len(line.lstrip(" │├└─")) < depth]
    parent = kind.__mro__[1]
    assert parent.__name__ in above[-1].split()


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_callers_that_know_python_s_errors_catch_wrong_values(kind: type[PanolinkError]) -> None:
    """A wrong value is a `ValueError` too; a peer or a connection that fails is none."""
    of_peers = {"PanolinkError", "LinkError", "StallError", "AccessError"}
    assert issubclass(kind, ValueError) == (kind.__name__ not in of_peers)
