"""The command `panolink`.

    app.py             the commands, their errors and exit codes
    encoding.py        text on any terminal, in any locale
    options.py         options that commands share, output, addresses
    streams.py         standard input and output
    coding.py          encode, decode
    info.py            info
    channel.py         channel
    transfer.py        a client of a running link; from sources to results
    send.py            send
    watch.py           watch
    health.py          health
    doctor.py          doctor
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
    """Run the command line; exits 0 (done), 1 (failed), 2 (used wrongly) or 130 (interrupted)."""
    from panolink.cli.encoding import flush_output, make_printable, open_closed_streams, output_failed, quieten_decoders

    open_closed_streams()
    make_printable()
    quieten_decoders()
    from panolink.cli.app import app

    try:
        app(prog_name="panolink")
    except SystemExit as ended:
        raise SystemExit(flush_output() or ended.code) from None
    except OSError as error:  # of what is printed before a command begins, such as its help
        if error.filename is not None:
            raise
        raise SystemExit(output_failed(error)) from None


__all__ = ["main"]
