"""The training loop: resumable, timed or counted in steps, on one process or several (``torchrun``)."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.codec.networks.execution import mixed_precision
from panolink.codec.quantization.vector_quantizer import nearest_code
from panolink.metrics.perceptual import LPIPS, lpips
from panolink.sphere.padding import set_wrap
from panolink.training.batches import Batch, batches, crop_stream
from panolink.training.best_weights import BestWeights, judged_by
from panolink.training.centred_inputs import LOOK_EVERY, CentredInputs
from panolink.training.checkpoint import (
    digest_of_networks,
    load_checkpoint,
    load_state,
    read_state,
    save_checkpoint,
    save_state,
    under,
)
from panolink.training.codebook_ema import CodebookAverager, as_tokens, k_means
from panolink.training.colours import with_strong_colours
from panolink.training.compilation import Distortion, compile_networks, compiled_losses, warm_up
from panolink.training.config import TrainingConfig
from panolink.training.context_rate import ContextRate
from panolink.training.data import CropStream, PanoramaCache
from panolink.training.device_crops import DevicePanoramas
from panolink.training.discriminator import PatchDiscriminator
from panolink.training.distributed import average_gradients, cpu_hours, of_first
from panolink.training.frozen_batch_norm import freeze
from panolink.training.idle_units import IdleUnits
from panolink.training.linear_cascade import start_as_linear_cascade
from panolink.training.losses import (
    commitment_loss,
    discriminator_loss,
    generator_loss,
    rate_lmbda,
    relative_loss,
    sphere_distortion,
)
from panolink.training.optimizers import optimizers_of, set_rates
from panolink.training.schedule import Schedule, WorkingClock
from panolink.training.soft_quantization import CodedBatch, code_batch
from panolink.training.validation import shrink, validate
from panolink.training.weight_average import WeightAverage, mean_state

LOG_EVERY = 50
"""steps between records of figures, for which alone the host waits for a GPU"""

COLUMNS = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))

CALIBRATION_CROPS = 200
"""on which a linear cascade is fitted and batch norms are calibrated"""

REPLACE_EVERY = 250
"""steps between replacements of dead codes: about a thousand tokens per code"""


class Trainer:
    """Trains one profile. ``folder`` holds the checkpoint, the log of metrics and, at the end, the averaged weights."""

    def __init__(
        self, config: TrainingConfig, cache: PanoramaCache, folder: Path, *, start: Path | None = None
    ) -> None:
        self.config, self.cache, self.folder = config, cache, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
        torch.manual_seed(config.seed)
        self.model = Autoencoder(PROFILES[config.profile]).to(self.device)
        self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        set_wrap(self.model, False)
        freeze(self.model)
        self.averager = CodebookAverager(*self.model.codebook.shape).to(self.device)
        self.context = ContextRate(self.model.codebook).to(self.device) if config.context_rate else None
        self.discriminator = PatchDiscriminator().to(self.device)
        wanted = config.perceptual_weight > 0
        # Of the run's own: it is compiled for crops, and validation measures views by the one that others share.
        self.perceive = LPIPS(config.perceptual_network).eval().to(self.device) if wanted else None
        self.distortion: Distortion = partial(sphere_distortion, kind=config.distortion, structure=config.structure)
        if config.decoder_only:
            self.model.encoder.requires_grad_(False)
        if cuda:
            torch.set_float32_matmul_precision("high")
            others = self.discriminator, self.perceive
            compile_networks(self.model, *others)
            warm_up(self.model, *others, batch=config.batch, crop=config.crop, trained=not config.decoder_only)
        elif config.compiled:
            compile_networks(self.model)
            warm_up(self.model, batch=config.batch, crop=config.crop, trained=not config.decoder_only)
            self.distortion = compiled_losses(self.distortion, self.perceive, batch=config.batch, crop=config.crop)
        self.optimizers = optimizers_of(config, self.model, self.context)
        self.centred = CentredInputs(self.model).to(self.device)
        self.idle = IdleUnits(self.model).to(self.device)
        self.adversary = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.9), fused=True)
        self.step, self.spent_minutes = 0, 0.0
        self.start = "" if start is None else digest_of_networks(start)
        """digest of the weights that the run began with"""
        self.stopped = False
        """whether a signal ended the last call of `run`"""
        self.spent_cpu_hours, self._cpu_began = 0.0, cpu_hours()
        self.listeners: list[Callable[[dict], None]] = []
        """called with each record that is logged"""
        training, validation = cache.split()
        self.panoramas: DevicePanoramas | None = None
        if config.crops_on_device:
            self.panoramas = DevicePanoramas(cache, training, least_scale=config.scales[0], device=self.device)
        chosen = validation[:: max(1, len(validation) // config.validation_images)][: config.validation_images]
        self.validation = [shrink(cache.panorama(i), 1024) for i in chosen]
        self.judged_by = judged_by(config, self.validation)
        self.best = BestWeights.of(self.folder) if self.checkpoint.exists() else BestWeights()
        if self.best.judged_by != self.judged_by:
            if self.best.judged_by and self.rank == 0:
                print(f"{folder}: best weights were judged by other settings or pictures", file=sys.stderr)
            self.best = BestWeights()
        if not self.checkpoint.exists():
            if start is not None:
                load_state(read_state(start), self.model, self.averager, self.context)
            else:
                # The first process's crops for all: codes have the same numbers in each, and their sums are added up.
                self.initialise(crop_stream(config, cache))
        self.average = WeightAverage(self.state())
        if self.checkpoint.exists():
            load_checkpoint(self)
        else:
            torch.manual_seed(config.seed)
        if self.rank == 0:
            # Of a run that was begun anew in its folder, or from an older checkpoint.
            for snapshot in self.snapshots():
                if snapshot.name > self._snapshot().name or not self.checkpoint.exists():
                    snapshot.unlink()
        if dist.is_initialized():  # the same in each process already, but for rounding
            for value in (*self.state().values(), *self.discriminator.state_dict().values()):
                dist.broadcast(value, 0)

    @property
    def cpu_hours(self) -> float:
        """Processor time of the whole run, earlier calls included."""
        return self.spent_cpu_hours + cpu_hours() - self._cpu_began

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def averaged(self) -> dict[str, Tensor]:
        """The averaged state: what is validated, exported and started from."""
        return self.average.values

    def batches(self) -> Iterator[Batch]:
        """Batches from the next step on."""
        return batches(self.config, self.cache, self.device, panoramas=self.panoramas, rank=self.rank, first=self.step)

    def state(self) -> dict[str, Tensor]:
        """What is trained: networks, codebook, and what estimates bits."""
        state = {**self.model.state_dict(), **under("averager.", self.averager)}
        return state if self.context is None else {**state, **under("context.", self.context)}

    def initialise(self, stream: CropStream) -> None:
        """Start from cascades of linear transforms, and k-means over the first batches' features.

        Parameters
        ----------
        stream : CropStream
        """
        batches = iter(stream)
        tokens_a_batch = self.config.batch * (self.config.crop // self.model.profile.factor) ** 2
        enough = max(32, -(-4 * self.model.profile.codes // tokens_a_batch))
        crops = torch.cat([next(batches)[0] for _ in range(enough)]).float().to(self.device)
        encoder, decoder = self.model.encoder, self.model.decoder
        start_as_linear_cascade(encoder, decoder, crops[:CALIBRATION_CROPS])  # type: ignore[arg-type]
        with torch.no_grad():
            features = torch.cat([encoder(chunk) for chunk in crops.split(8)])
        tokens = as_tokens(features)
        self.model.codebook.copy_(k_means(tokens, self.model.codebook.shape[0]))
        self.averager.decay = 0.9
        for chunk in features.split(8):
            tokens = as_tokens(chunk)
            self.averager.update(
                tokens,
                nearest_code(chunk, self.model.codebook).flatten(),
                self.model.codebook,
                tokens.new_ones(len(tokens)),
            )
        self.averager.decay = 0.99
        self.averager.used.zero_()
        if self.context is not None:
            self.context.begin(self.model.codebook)

    # ── one step ──────────────────────────────────────────────────────────────────────────────────────────────────

    def shares(self, batch: int) -> Tensor:
        """Shares of tokens kept: seven images in ten what pays, as the codec does, one none, two any share.

        All none where indices alone are sent.
        """
        if self.config.indices_only:
            return torch.zeros(batch, device=self.device)
        draw, pays, share = torch.rand(batch), -torch.exp(0.5 * torch.randn(batch)), torch.rand(batch)
        shares = torch.where(draw < 0.1, torch.zeros(batch), torch.where(draw < 0.8, pays, share))
        return (shares.pin_memory() if self.device.type == "cuda" else shares).to(self.device, non_blocking=True)

    def train_step(self, pixels: Tensor, latitude: Tensor, weight: Tensor, *, adversarial: bool) -> dict[str, Tensor]:
        config, device = self.config, self.device
        pixels = pixels.to(device, non_blocking=True).float().contiguous(memory_format=torch.channels_last)
        latitude, weight = (x.to(device, non_blocking=True) for x in (latitude, weight))
        batch = len(pixels)
        if self.step % LOOK_EVERY == 0:
            with self.idle.lifted():
                self.centred.look(self.model, pixels)
        if config.strong_colours:
            pixels = with_strong_colours(pixels, config.strong_colours)
        with mixed_precision(device.type), torch.set_grad_enabled(not config.decoder_only):
            features = self.model.encoder(pixels)
        step = torch.randint(*config.steps_range, (batch,), device=device)
        coded = code_batch(
            self.model,
            self.averager,
            features,
            latitude.unflatten(1, (-1, self.model.profile.factor)).mean(dim=2),
            step=step,
            share=self.shares(batch),
            lost_share=config.lost_share if torch.rand(()) < config.lost_batches else 0.0,
            ranking=self.model.profile.ranking,
            learn=not config.decoder_only,
            context=self.context,
        )
        with mixed_precision(device.type):
            image = self.model.decoder(coded.received, coded.guidance)

        distortion = self.distortion(pixels, image, latitude)
        bpp = coded.bits.sum(dim=(1, 2)) / pixels[0, 0].numel()
        commitment = commitment_loss(features, coded.codes, factor=self.model.profile.factor)
        cost = distortion + config.bits_weight * rate_lmbda(step) * bpp + config.commitment * commitment
        loss = relative_loss(cost, distortion, weight)
        report = {"loss": loss, "distortion": distortion.mean(), "bpp": bpp.mean(), "commitment": commitment.mean()}
        if self.perceive is not None:
            with mixed_precision(device.type):
                perceived = self.perceive(pixels / 255, image / 255)
            loss = loss + config.perceptual_weight * (weight * perceived).mean()
            report["lpips"] = perceived.mean()
        if adversarial:
            fake = image / 127.5 - 1
            loss = loss + config.adversarial_weight * generator_loss(self.discriminator(fake))
        trained = [self.model] if self.context is None else [self.model, self.context]
        for module in trained:
            module.zero_grad(set_to_none=True)
        loss.backward()
        for module in trained:
            average_gradients(module)
        self.centred.centre_gradients()
        report["gradient"] = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        with self.centred.no_shift():
            for optimizer in self.optimizers.values():
                optimizer.step()
        if adversarial:
            self.adversary.zero_grad(set_to_none=True)
            adversary = discriminator_loss(self.discriminator(pixels / 127.5 - 1), self.discriminator(fake.detach()))
            adversary.backward()
            average_gradients(self.discriminator)
            self.adversary.step()
            report["adversary"] = adversary
        self.step += 1
        if not config.decoder_only:
            report |= self.learn_codebook(features, coded)
        self.average.update(min(config.ema, (1 + self.step) / (10 + self.step)))
        return {name: value.detach() for name, value in report.items()}

    def learn_codebook(self, features: Tensor, coded: CodedBatch) -> dict[str, Tensor]:
        """Move the codebook towards a batch's features.

        Parameters
        ----------
        features : (batch, dim, rows, cols)
        coded : CodedBatch
            What became of them.

        Returns
        -------
        dict of str to Tensor
            What became of dead codes, when it is their turn.
        """
        tokens = as_tokens(features)
        weight = coded.pays.flatten().float().clamp_min(0.1)
        self.averager.update(tokens, coded.indices.flatten(), self.model.codebook, weight)
        if self.step % REPLACE_EVERY:
            return {}
        return {"dead": torch.tensor(float(self.averager.replace_dead(tokens, self.model.codebook)))}

    # ── the run ───────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> dict[str, float]:
        """Train until steps or minutes are used up, or SIGTERM or SIGINT comes; returns the best last validation."""
        minutes, self.stopped = self.train()
        return self.conclude(minutes, stopped=self.stopped) if self.rank == 0 else {}

    def train(self) -> tuple[float, bool]:
        """The loop of `run`, without its end: the minutes that it took, and whether a signal stopped it.

        The minutes are those of a clock that stands still while the process is stopped (SIGSTOP).
        """
        config, clock, first_step = self.config, WorkingClock(), self.step
        schedule = Schedule(config.minutes, config.steps, config.warm_up, config.decay_share)
        validate_minutes = min(config.validate_minutes, config.minutes / 4 or math.inf) or math.inf
        validated = saved = waited = 0.0  # by the clock, in minutes
        batches = self.batches()
        with (
            _stop_on_signals(clock) as stop,
            Progress(*COLUMNS, console=Console(stderr=True), disable=self.rank != 0) as bar,
        ):
            task = bar.add_task(f"train {config.profile}", total=1.0, note="")
            while True:
                minutes = clock.minutes()
                progress = 1.0 if stop.is_set() else schedule.progress(self.step - first_step, minutes)
                progress = of_first(progress, self.device)
                if progress >= 1:
                    break
                asked = time.monotonic()
                batch = next(batches)
                waited += (time.monotonic() - asked) / 60
                self.set_rate(config.rate * schedule.rate(progress, self.step))
                report = self.train_step(*batch, adversarial=progress >= config.adversarial_from)
                if self.step % LOG_EVERY == 0:
                    figures = {name: float(value) for name, value in report.items()}
                    note = f"step {self.step} " + " ".join(f"{k} {v:.3g}" for k, v in figures.items())
                    bar.update(task, completed=progress, note=note)
                    self.log({"step": self.step} | self.spent(minutes) | {"loader": waited / minutes} | figures)
                if self.rank:
                    continue
                minutes = clock.minutes()
                due = minutes - validated > validate_minutes
                if due or minutes - saved > config.checkpoint_minutes:
                    try:  # before a validation too: who sends SIGTERM meanwhile may not wait for its end
                        self.save(minutes)
                    except OSError as error:  # there may be space again at the next turn
                        bar.console.print(f"no checkpoint at step {self.step}: {error}", markup=False)
                    saved = clock.minutes()
                if due and not stop.is_set():
                    self.validate(self.averaged, minutes)
                    validated = clock.minutes()
        return clock.minutes(), stop.is_set()

    def set_rate(self, rate: float) -> None:
        """Set the learning rates of the networks; the discriminator's stays as it is.

        Parameters
        ----------
        rate : float
            Factor of the configured ones.
        """
        set_rates(self.optimizers, rate)

    def spent(self, minutes: float) -> dict[str, float]:
        """What the whole run has taken.

        Parameters
        ----------
        minutes : float
            Of it in this call.
        """
        return {"minutes": self.spent_minutes + minutes, "cpu_hours": self.cpu_hours}

    def save(self, minutes: float) -> None:
        """Write the checkpoint, and beside it the averaged weights for the mean of late ones.

        Parameters
        ----------
        minutes : float
            That this call has taken so far.
        """
        save_checkpoint(self, minutes)
        if not self.config.snapshots:
            return
        save_state(self._snapshot(), self.averaged)
        for old in self.snapshots()[: -self.config.snapshots]:
            old.unlink()

    def snapshots(self) -> list[Path]:
        """Averaged weights of the last checkpoints, oldest first."""
        return sorted(self.folder.glob("snapshot-*.safetensors"))

    def _snapshot(self) -> Path:
        return self.folder / f"snapshot-{self.step:08d}.safetensors"

    def conclude(self, minutes: float, *, stopped: bool) -> dict[str, float]:
        """Save and validate what the run came to, and at its end the mean of late snapshots too.

        Parameters
        ----------
        minutes : float
            That this call has taken.
        stopped : bool
            Whether it was stopped before its end.

        Returns
        -------
        dict of str to float
            The better one's figures.
        """
        self.save(minutes)  # at once: who sends SIGTERM may not wait for a validation
        results = [self.validate(self.averaged, minutes)]
        if not stopped and len(self.snapshots()) > 1:
            mean = {name: value.to(self.device) for name, value in mean_state(self.snapshots()).items()}
            results.append(self.validate(mean, minutes, averaged=len(self.snapshots())))
        return max(results, key=self.config.score)

    def validate(self, state: dict[str, Tensor], minutes: float, **more: int) -> dict[str, float]:
        """Validate an averaged state; keep it as ``best.safetensors`` when it is the best so far.

        Parameters
        ----------
        state : dict of str to Tensor
        minutes : float
            That this call has taken so far.
        more : int
            Goes into the record that is logged.

        Returns
        -------
        dict of str to float
            As of `panolink.training.validation.validate`.
        """
        # Training's random numbers are its own: validations come by the clock, and networks that are made draw some.
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            model = Autoencoder(self.model.profile).to(self.device)
            averager = CodebookAverager(*model.codebook.shape).to(self.device)
            context = None if self.context is None else ContextRate(model.codebook).to(self.device)
            load_state(state, model, averager, context)
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            perceive = lpips().to(self.device) if self.perceive is not None else None
            result = validate(model, averager, self.validation, device=self.device, perceive=perceive, context=context)
        self.log({"step": self.step} | self.spent(minutes) | more | {"validation": result})
        if (score := self.config.score(result)) > self.best.score:
            best = BestWeights(
                score=score,
                judged_by=self.judged_by,
                step=self.step,
                validation=result,
                config=asdict(self.config),
                **self.spent(minutes),
            )
            try:
                best.save(self.folder, state)
                self.best = best
            except OSError as error:  # the next validation may find room
                print(f"weights of step {self.step} are not kept: {error}", file=sys.stderr)
        return result

    def log(self, record: dict) -> None:
        if self.rank == 0:
            try:
                with (self.folder / "metrics.jsonl").open("a") as file:
                    file.write(json.dumps(record) + "\n")
            except OSError as error:  # a disk that is full for a moment ends no run
                print(f"not logged, at step {self.step}: {error}", file=sys.stderr)
            for listener in self.listeners:
                listener(record)


@contextmanager
def _stop_on_signals(clock: WorkingClock) -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, until the block ends; the clock gets to know of pauses."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGCONT] = signal.signal(signal.SIGCONT, clock.continued)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
