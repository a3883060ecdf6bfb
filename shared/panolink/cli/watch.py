"""`watch`: what a receiver receives, as files."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panolink.cli.gazes import TimedGaze, follow, read_gazes
from panolink.cli.options import (
    Address,
    Json,
    Overwrite,
    PictureFormatName,
    Realism,
    check_realism,
    err,
    out,
    print_error,
    print_json,
    print_note,
)
from panolink.cli.transfer import connected, file_error_code
from panolink.errors import LinkError, PanolinkError
from panolink.filenames import file_stem
from panolink.files import NamesInOrder, make_folder, write_numbered, written_beside
from panolink.picture_format import PictureFormat
from panolink.rpc.wire.capture_times import age_of

if TYPE_CHECKING:
    from panolink.client import ReceivedPanorama
    from panolink.images.spherical_video import SphericalVideo

_RETRY_SECONDS = 1.0


def watch(
    target: Address,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write the panoramas there, as PNG.")
    ] = None,
    video: Annotated[
        Path | None, typer.Option("--video", metavar="FILE.mp4", help="Write them as one spherical video.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.001, help="Of the video: frames a second; where unset, as they come.")
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many; 0: go on until Ctrl-C.")] = 0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for a receiver that goes away, or end with exit code 1.")
    ] = True,
    gaze: Annotated[
        str | None,
        typer.Option(
            metavar="YAW,PITCH[,WIDTH]|FILE.csv",
            help="Where you look, in degrees, or a file of it: streams that follow gazes are fine there.",
        ),
    ] = None,
    picture_format: PictureFormatName = None,
    decoder: Annotated[
        str,
        typer.Option(help="How pictures are to be made: fidelity or perceptual; where unset, as the receiver is set."),
    ] = "",
    realism: Realism = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write every panorama that a receiver receives from now on into a folder, or into a video.

    Examples: [bold]panolink watch 127.0.0.1:50053 --out received/[/bold], [bold]panolink watch 127.0.0.1:50053
    --video walk.mp4[/bold]

    A receiver that goes away is waited for, and watched again when it is back. Whatever ends a watch, a video of what
    has come is finished. Pictures travel raw, and files are PNG; with --picture-format webp or jpeg files are what has
    come. A receiver rounds a realism to a quarter.

    A file of gazes has a heading line, seconds,yaw,pitch and perhaps width, and a line for each change; after the last
    one it begins anew.
    """
    if not (folder or video):
        raise typer.BadParameter("give --out FOLDER, or --video FILE.mp4, or both", param_hint="'--out' / '--video'")
    if video and video.suffix.lower() != ".mp4":
        raise typer.BadParameter("the video has to be called ….mp4", param_hint="'--video'")
    if fps and not video:
        raise typer.BadParameter("needs --video FILE.mp4", param_hint="'--fps'")
    if folder:
        make_folder(folder)
    watcher = Watcher(target, folder, count, wait, overwrite, json, picture_format or PictureFormat.RGB8)
    watcher.realism = check_realism(decoder, realism, allow_file=False)
    watcher.gazes = () if gaze is None else read_gazes(gaze)
    problem: BaseException | None = None
    beside_video = written_beside(video, overwrite=overwrite) if video else nullcontext()
    with _FirstSignal() as signals, beside_video as beside:
        if beside:
            from panolink.images.spherical_video import SphericalVideo

            watcher.video = SphericalVideo(beside.temporary, fps=fps, name=beside.path)
        try:
            signals.run(watcher.watch())
        except (KeyboardInterrupt, Exception) as error:  # what has come is kept, whatever it was
            problem = error
        interrupted = isinstance(problem, KeyboardInterrupt)
        if beside and watcher.video:
            if not watcher.video.frames:
                raise problem if problem and not interrupted else PanolinkError(f"{video}: no panorama came")
            beside.keep = True
            try:
                watcher.video.close()
            except BaseException:
                print_error(f"{beside.temporary}: has what came, but could not be finished")
                raise
    if beside and watcher.video:
        err.print(f"{beside.path}: {watcher.video.frames} panoramas", markup=False, soft_wrap=True)
    if problem and (count or not interrupted):
        raise problem
    if watcher.unwritten:
        raise LinkError(f"{watcher.unwritten} of {watcher.seen + watcher.unwritten} panoramas could not be written")
    if not problem and count and watcher.seen < count:
        raise LinkError(f"{target}: ended after {watcher.seen} of {count} panoramas")


class _FirstSignal:
    """A block in which the first of SIGINT, SIGTERM and SIGHUP ends what it runs, a second one breaks off what does not
    end (output that nobody reads), and once it has ended they are ignored, so that what has come can be finished. One
    that is ignored before, as `nohup` has it, stays so."""

    _task: asyncio.Task[None] | None = None
    _asked = False

    def __enter__(self) -> _FirstSignal:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        self._before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
        for number in self._before:
            signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it to its end; `KeyboardInterrupt` where a signal came first."""

        async def cancellable() -> None:
            self._task = asyncio.current_task()
            await work

        try:
            asyncio.run(cancellable())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            self._ignore()

    def _interrupt(self, *_: object) -> None:
        """Cancel the task, for what is raised in whatever runs just now could get lost there."""
        if self._task is None or self._asked:
            self._ignore()
            raise KeyboardInterrupt
        self._asked = True
        if not self._task.done():
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def _ignore(self) -> None:
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)


@dataclass
class Watcher:
    """Watches a receiver, and writes what comes.

    Attributes
    ----------
    seen, unwritten : int
        Panoramas that were written, and that could not be.
    video : SphericalVideo | None
        Where they go too.
    gazes : Sequence[TimedGaze]
        Where to tell that somebody looks, see `follow`.
    realism : float | None
        Of the decoder to ask for; None: the receiver's own.
    """

    target: str
    folder: Path | None
    count: int
    wait: bool
    overwrite: bool
    json: bool
    picture_format: PictureFormat = PictureFormat.RGB8
    seen: int = 0
    unwritten: int = 0
    video: SphericalVideo | None = None
    gazes: Sequence[TimedGaze] = ()
    realism: float | None = None
    _began: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._names = NamesInOrder(overwrite=self.overwrite)

    async def watch(self) -> None:
        """Until as many have come as are wanted.

        Raises
        ------
        LinkError
            Nothing answers at first, or later if it is not waited for.
        """
        answered = announced = False
        while True:
            try:
                async with connected(self.target) as link:
                    if announced:
                        print_note(f"{self.target}: back again")
                    elif not (answered or self.json):
                        err.print(f"watching {self.target}; Ctrl-C ends", markup=False)
                    answered, announced = True, False
                    async for panorama in link.watch(
                        count=max(0, self.count - self.seen - self.unwritten),
                        picture_format=self.picture_format,
                        realism=self.realism,
                        gazes=follow(self.gazes) if self.gazes else None,
                    ):
                        await self._take(panorama)
                if self.count and self.seen + self.unwritten >= self.count:
                    return
                raise LinkError(f"{self.target}: the receiver ended the stream")
            except LinkError as error:
                if not (answered and self.wait):
                    raise
                if not announced:
                    print_error(f"{error}; waiting for it (--no-wait ends instead)")
                announced = True
                await asyncio.sleep(_RETRY_SECONDS)

    async def _take(self, panorama: ReceivedPanorama) -> None:
        path = None
        try:
            if self.folder:
                path = self.folder / f"{panorama.number:04d}_{file_stem(panorama.source)}"
                path = await asyncio.to_thread(self._write, path, panorama)
        except OSError as error:  # one picture that cannot be written; the rest goes on
            message = f"{error.filename}: {error.strerror}"
            print_error(message)
            if self.json:
                print_json(_json_values(panorama, None, {"code": file_error_code(error), "message": message}))
            self.unwritten += 1
            return
        if self.video:
            await asyncio.to_thread(self._append, self.video, panorama)
        self.seen += 1
        if self.json:
            print_json(_json_values(panorama, path, None))
        else:
            out.print(_line(panorama, path), markup=False, soft_wrap=True)

    def _write(self, path: Path, panorama: ReceivedPanorama) -> Path:
        """Write a panorama as it has come, a raw one as PNG; ``path`` has no suffix yet."""
        from panolink.images.formats import format_of

        suffix = {"WEBP": ".webp", "JPEG": ".jpg"}.get(format_of(panorama.file[:16]), ".png")
        file = panorama.png if suffix == ".png" else panorama.file
        # A receiver that comes back counts from 1 again: what this watch has written is not replaced.
        path = self._names.reserve(path.with_name(path.name + suffix))
        try:
            return write_numbered(path, file, overwrite=self.overwrite)
        finally:
            self._names.release(path)

    def _append(self, video: SphericalVideo, panorama: ReceivedPanorama) -> None:
        now = time.monotonic()
        self._began = self._began or now
        video.add(panorama.array, seconds=now - self._began, sphere=panorama.sphere)


def _line(panorama: ReceivedPanorama, path: Path | None) -> str:
    noise = "no noise" if panorama.snr_db is None else f"{panorama.snr_db:g} dB"
    lost = f"{panorama.segments.lost} of {panorama.segments.sent} segments lost"
    missed = f", {panorama.dropped} missed" if panorama.dropped else ""
    if (age := age_of(panorama.captured_at)) is not None:
        missed += f", taken {1000 * age:.0f} ms ago"
    return f"{path or panorama.source}: {panorama.width}×{panorama.height}, {noise}, {lost}{missed}"


def _json_values(panorama: ReceivedPanorama, path: Path | None, error: dict[str, str] | None) -> dict[str, Any]:
    return {
        "number": panorama.number,
        "source": panorama.source,
        "path": str(path) if path else None,
        "error": error,
        "width": panorama.width,
        "height": panorama.height,
        "fingerprint": panorama.fingerprint,
        "snr_db": panorama.snr_db,
        "segments": {"sent": panorama.segments.sent, "lost": panorama.segments.lost},
        "concealed": panorama.concealed,
        "dropped": panorama.dropped,
        "rounds": panorama.rounds,
        "age_seconds": age_of(panorama.captured_at),
        "realism": panorama.realism,
    }
