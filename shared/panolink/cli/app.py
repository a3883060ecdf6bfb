"""The commands, what becomes of their errors, and the options of all."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from panolink.cli import certs, channel, coding, demo, doctor, health, info, load, send, train, up, watch
from panolink.cli.options import print_error, print_note, wants_traceback
from panolink.errors import PanolinkError, SettingError
from panolink.rpc.environment import misspelt


class Commands(TyperGroup):
    """Turns errors that are the user's business into one line and exit code 1, or 2 where a setting is at fault."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PanolinkError as error:
            if wants_traceback():
                raise
            print_error(error)
            if isinstance(error, SettingError):
                raise typer.Exit(2) from None
        except KeyboardInterrupt:
            print_error("interrupted")
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise  # the reader of our output has closed it
        except OSError as error:
            if wants_traceback():
                raise
            reason = error.strerror or str(error) or type(error).__name__
            print_error(f"{error.filename}: {reason}" if error.filename is not None else reason)
        raise typer.Exit(1)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from panolink import __version__

        typer.echo(f"panolink {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from (also PANOLINK_DEBUG=1).")
    ] = False,
) -> None:
    """360° panoramas sent as meaning, not as pixels.

    Try it: [bold]panolink demo[/bold]. Or by hand: [bold]panolink up[/bold] in one terminal, [bold]panolink send
    panorama.jpg --to 127.0.0.1:50051[/bold] in another.
    """
    if debug:
        os.environ["PANOLINK_DEBUG"] = "1"
    for line in misspelt(os.environ).values():
        print_note(line)


app.command(rich_help_panel="Link")(up.up)
app.command(rich_help_panel="Link")(send.send)
app.command(rich_help_panel="Link")(watch.watch)
app.command(rich_help_panel="Link")(channel.channel)
app.command(rich_help_panel="Link")(health.health)
app.command(rich_help_panel="Link")(demo.demo)
app.command(rich_help_panel="Link")(doctor.doctor)
app.command(rich_help_panel="Link")(load.load)
app.command(rich_help_panel="Link")(certs.certs)
app.command(rich_help_panel="Codec")(coding.encode)
app.command(rich_help_panel="Codec")(coding.decode)
app.command(rich_help_panel="Codec")(info.info)
app.command(rich_help_panel="Codec")(train.train)
