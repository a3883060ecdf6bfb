from pathlib import Path

from benchmarks.lib.revisions import of_code, of_measures


def test_what_code_does_counts_and_what_is_said_of_it_does_not(tmp_path: Path):
    file = tmp_path / "a.py"

    def of(text: str) -> str:
        file.write_text(text)
        return of_code([file])

    plain = of("def f(x):\n    return x + 1\n")
    assert of('"""What it is."""\n\ndef f( x ):\n    """More."""\n    return x + 1  # one more\n') == plain
    assert of("def f(x):\n    return x + 2\n") != plain


def test_measures_have_one_revision():
    assert of_measures() == of_measures() and len(of_measures()) == 8
