"""The command `panolink`.

    app.py             the commands, their errors and exit codes
    options.py         options that commands share, output, addresses
    streams.py         standard input and output
    coding.py          encode, decode
    info.py            info
    channel.py         channel
    transfer.py        send, watch
    health.py          health
    report.py          what became of panoramas: scores, JSON, table
    process_group.py   the services as child processes
    up.py              up
    demo.py            demo
    certs.py           certs
    contact_sheet.py   side-by-side pictures and the contact sheet
    train.py           train

Nothing heavy is imported before a command needs it, so that `panolink --help` comes at once.
"""


def main() -> None:
    """Run the command line; exits 0 (done), 1 (failed) or 2 (used wrongly)."""
    from panolink.cli.app import app

    app(prog_name="panolink")


__all__ = ["main"]
