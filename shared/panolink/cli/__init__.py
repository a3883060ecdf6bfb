"""The command `panolink`.

    app.py         the commands, their errors and exit codes
    common.py      what they share: options, output, addresses
    coding.py      encode, decode
    info.py        info
    channel.py     channel
    link.py        send, watch
    health.py      health
    results.py     what became of panoramas: scores, JSON, table
    services.py    the three services as child processes
    up.py          up
    demo.py        demo
    certs.py       certs
    pictures.py    side-by-side pictures and the contact sheet
    train.py       train

Nothing heavy is imported before a command needs it, so that `panolink --help` comes at once.
"""


def main() -> None:
    """Run the command line; exits 0 (done), 1 (failed) or 2 (used wrongly)."""
    from panolink.cli.app import app

    app(prog_name="panolink")


__all__ = ["main"]
