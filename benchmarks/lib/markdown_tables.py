"""Tables in pages of the documentation, between markers:

<!-- table WORDS -->        written anew, up to
<!-- end -->
"""

import re
from collections.abc import Callable, Sequence


def filled(page: str, table: Callable[[list[str]], str | None]) -> str:
    """A page with its tables written anew: `table` is given a marker's words; where it returns None, what is there
    stays."""

    def written(marker: re.Match[str]) -> str:
        found = table(marker["words"].split())
        return marker[0] if found is None else f"<!-- table {marker['words']} -->\n{found}\n<!-- end -->"

    return re.sub(r"<!-- table (?P<words>[^>]*?) -->\n.*?<!-- end -->", written, page, flags=re.DOTALL)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
