"""The training loop: resumable, timed or counted in steps, on one process or several (``torchrun``)."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed as dist
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from panolink.codec.networks.autoencoder import PROFILES, Autoencoder
from panolink.codec.networks.blocks import PIXEL_STEP
from panolink.codec.networks.decoder import BaseDecoder, initialize_as_block_transform
from panolink.codec.networks.encoder import BaseEncoder
from panolink.codec.quantization.vector_quantizer import nearest_code
from panolink.cpu import usable_cores
from panolink.errors import ModelError
from panolink.metrics.perceptual import lpips
from panolink.sphere.padding import set_wrap
from panolink.training.codebook_ema import CodebookAverager, as_tokens, k_means, principal_components
from panolink.training.config import TrainingConfig
from panolink.training.data import CropStream, PanoramaCache
from panolink.training.discriminator import PatchDiscriminator, discriminator_loss, generator_loss
from panolink.training.distributed import average_gradients, cpu_hours, of_first
from panolink.training.losses import sphere_distortion
from panolink.training.mean_only_batchnorm import centre_units
from panolink.training.muon import ConvolutionMuon
from panolink.training.schedule import Schedule
from panolink.training.soft_quantization import BITS_PRICE, Coded, code_batch
from panolink.training.validation import shrink, validate

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
        centre_units(self.model)
        self.averager = CodebookAverager(*self.model.codebook.shape).to(self.device)
        self.discriminator = PatchDiscriminator().to(self.device)
        self.perceive = lpips("vgg16").to(self.device) if config.perceptual_weight else None
        if config.decoder_only:
            self.model.encoder.requires_grad_(False)
        if cuda:
            compile_networks(self.model, self.discriminator, self.perceive)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        kernels = [p for p in trained if p.ndim == 4 and p.shape[-1] == 3]
        others = [p for p in trained if not (p.ndim == 4 and p.shape[-1] == 3)]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "muon": ConvolutionMuon(kernels, lr=config.kernel_learning_rate, weight_decay=config.kernel_decay),
            "adam": torch.optim.Adam(others, lr=config.learning_rate, betas=(0.9, 0.99), fused=True),
        }
        self.adversary = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.9), fused=True)
        self.step, self.spent_minutes, self.best = 0, 0.0, -math.inf
        self.spent_cpu_hours, self._cpu_began = 0.0, cpu_hours()
        self.listeners: list[Callable[[dict], None]] = []
        """told of each record that is logged"""
        training, validation = cache.split()
        stream = CropStream(
            cache,
            training,
            size=config.crop,
            batch=config.batch,
            scales=config.scales,
            native_share=config.native_share,
            seed=(config.seed, self.rank),
        )
        self.loader = torch.utils.data.DataLoader(
            stream,
            batch_size=None,
            num_workers=loading_processes() if cuda else 1,
            prefetch_factor=4,
            pin_memory=cuda,
            worker_init_fn=ignore_terminate,
        )
        chosen = validation[:: max(1, len(validation) // config.validation_images)][: config.validation_images]
        self.validation = [shrink(cache.panorama(i), 1024) for i in chosen]
        self.averaged: dict[str, Tensor] = {}
        if self.checkpoint.exists():
            self.load_checkpoint()
        else:
            if start is not None:
                load_state(load_file(start), self.model, self.averager)
            else:
                self.initialise(stream)
            self.averaged = {name: value.detach().clone().float() for name, value in self.state().items()}
        stream.seed += (self.step,)  # a run that goes on sees new crops
        torch.manual_seed(config.seed + self.step)
        if dist.is_initialized():  # each process began on crops of its own
            for value in (*self.state().values(), *self.discriminator.state_dict().values()):
                dist.broadcast(value, 0)

    @property
    def cpu_hours(self) -> float:
        """Processor time of the whole run, earlier calls included."""
        return self.spent_cpu_hours + cpu_hours() - self._cpu_began

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def state(self) -> dict[str, Tensor]:
        """What is trained and shipped: networks, codebook and the sums behind the scales."""
        averages = {f"averager.{name}": value for name, value in self.averager.state_dict().items()}
        return {**self.model.state_dict(), **averages}

    def initialise(self, stream: CropStream) -> None:
        """Start from principal components (profile ``base``) and k-means over the first batches' features."""
        batches = iter(stream)
        tokens_a_batch = self.config.batch * (self.config.crop // self.model.profile.factor) ** 2
        enough = max(32, -(-4 * self.model.profile.codes // tokens_a_batch))
        crops = torch.cat([next(batches)[0] for _ in range(enough)]).float().to(self.device)
        encoder, decoder = self.model.encoder, self.model.decoder
        if isinstance(encoder, BaseEncoder) and isinstance(decoder, BaseDecoder):
            initialize_as_block_transform(encoder, decoder, *principal_components(crops, self.model.profile.dim))
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

    # ── one step ──────────────────────────────────────────────────────────────────────────────────────────────────

    def shares(self, batch: int) -> Tensor:
        """Shares of tokens kept: seven images in ten what pays, as the codec does, one none, two any share."""
        draw = torch.rand(batch)
        pays = -torch.exp(0.5 * torch.randn(batch))
        return torch.where(draw < 0.1, torch.zeros(batch), torch.where(draw < 0.8, pays, torch.rand(batch))).to(
            self.device
        )

    def train_step(self, pixels: Tensor, latitude: Tensor, weight: Tensor, *, adversarial: bool) -> dict[str, float]:
        config, device = self.config, self.device
        pixels = pixels.to(device, non_blocking=True).float().contiguous(memory_format=torch.channels_last)
        latitude, weight = latitude.to(device), weight.to(device)
        batch = len(pixels)
        with torch.autocast(device.type, dtype=torch.bfloat16), torch.set_grad_enabled(not config.decoder_only):
            features = self.model.encoder(pixels)
        step = torch.randint(*config.steps_range, (batch,), device=device)
        coded = code_batch(
            self.model,
            self.averager,
            features,
            latitude.unflatten(1, (-1, self.model.profile.factor)).mean(dim=2),
            step=step,
            share=self.shares(batch),
            lost_share=config.lost_share if torch.rand(()) < 0.125 else 0.0,
            ranking=self.model.profile.ranking,
            learn=not config.decoder_only,
        )
        with torch.autocast(device.type, dtype=torch.bfloat16):
            image = self.model.decoder(coded.received, coded.guidance)

        distortion = sphere_distortion(pixels, image, latitude, kind=config.distortion)
        bpp = coded.bits.sum(dim=(1, 2)) / pixels[0, 0].numel()
        price = config.bits_weight * BITS_PRICE * PIXEL_STEP**2 / 3 * torch.exp2(step / 2)
        unit = PIXEL_STEP**2 / (3 * self.model.profile.factor**2)
        commitment = (features - coded.codes).square().sum(dim=1).mean(dim=(1, 2)) * unit
        cost = distortion + price * bpp + config.commitment * commitment
        # The benchmark's mean is over decibels: an image counts by its relative error, softened.
        loss = (weight * cost * (distortion.detach() + 10) ** -0.7).mean()
        report = {"loss": loss, "mse": distortion.mean(), "bpp": bpp.mean(), "commitment": commitment.mean()}
        if self.perceive is not None:
            with torch.autocast(device.type, dtype=torch.bfloat16):
                perceived = self.perceive(pixels / 255, image / 255)
            loss = loss + config.perceptual_weight * (weight * perceived).mean()
            report["lpips"] = perceived.mean()
        if adversarial:
            fake = image / 127.5 - 1
            loss = loss + config.adversarial_weight * generator_loss(self.discriminator(fake))
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.model)
        report["gradient"] = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
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
        self.average_weights()
        return {name: float(value.detach()) for name, value in report.items()}

    def learn_codebook(self, features: Tensor, coded: Coded) -> dict[str, Tensor]:
        """Move the codebook towards a batch's features; what became of dead codes, when it is their turn."""
        tokens = as_tokens(features)
        worth = coded.pays.flatten().float().clamp_min(0.1)
        self.averager.update(tokens, coded.indices.flatten(), self.model.codebook, worth)
        if self.step % REPLACE_EVERY:
            return {}
        return {"dead": torch.tensor(float(self.averager.replace_dead(tokens, self.model.codebook)))}

    @torch.no_grad()
    def average_weights(self) -> None:
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.state().items():
            if value.is_floating_point() and not name.startswith("averager."):
                self.averaged[name].lerp_(value.float(), 1 - decay)
            else:
                self.averaged[name] = value.detach().clone()

    # ── the run ───────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> dict[str, float]:
        """Train until steps or minutes are used up, or SIGTERM or SIGINT comes; returns the last validation."""
        config, began = self.config, time.monotonic()
        stop = False

        def ask_to_stop(*_: object) -> None:
            nonlocal stop
            stop = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask_to_stop)
        validated = saved = began
        schedule = Schedule(config.minutes, config.steps, config.warm_up, config.decay_share)
        validate_minutes = min(config.validate_minutes, config.minutes / 4 or config.validate_minutes)
        waited, result = 0.0, {}
        first_step = self.step
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        batches = iter(self.loader)
        with Progress(*columns, console=Console(stderr=True), disable=self.rank != 0) as bar:
            task = bar.add_task(f"train {config.profile}", total=1.0, note="")
            while True:
                minutes = (time.monotonic() - began) / 60
                progress = schedule.progress(self.step - first_step, minutes)
                progress = of_first(1.0 if stop else progress, self.device)
                if progress >= 1:
                    break
                asked = time.monotonic()
                batch = next(batches)
                waited += time.monotonic() - asked
                rate = config.rate * schedule.rate(progress, self.step)
                self.optimizers["muon"].param_groups[0]["lr"] = config.kernel_learning_rate * rate
                self.optimizers["adam"].param_groups[0]["lr"] = config.learning_rate * rate
                report = self.train_step(*batch, adversarial=progress >= config.adversarial_from)
                if self.step % 50 == 0:
                    note = f"step {self.step} " + " ".join(f"{k} {v:.3g}" for k, v in report.items())
                    bar.update(task, completed=progress, note=note)
                    self.log(
                        {
                            "step": self.step,
                            "minutes": self.spent_minutes + minutes,
                            "cpu_hours": self.cpu_hours,
                            "loader": waited / 60 / minutes,
                        }
                        | report
                    )
                now = time.monotonic()
                if now - validated > 60 * validate_minutes and self.rank == 0:
                    validated, result = now, self.validate(minutes)
                if now - saved > 60 * config.checkpoint_minutes and self.rank == 0:
                    saved = now
                    self.save_checkpoint(minutes)
        minutes = (time.monotonic() - began) / 60
        if self.rank == 0:
            result = self.validate(minutes)
            self.save_checkpoint(minutes)
        return result

    def validate(self, minutes: float) -> dict[str, float]:
        """Validate the averaged weights; keep them as ``best.safetensors`` when they are the best so far."""
        model = Autoencoder(self.model.profile).to(self.device)
        averager = CodebookAverager(*model.codebook.shape).to(self.device)
        load_state(self.averaged, model, averager)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        perceive = lpips() if self.perceive is not None else None
        result = validate(model, averager, self.validation, device=self.device, perceive=perceive)
        spent = {"minutes": self.spent_minutes + minutes, "cpu_hours": self.cpu_hours}
        self.log({"step": self.step, **spent, "validation": result})
        score = -result["lpips_at_0.1"] if self.perceive is not None else result["vpsnr_at_0.1"]
        if score > self.best:
            self.best = score
            save_file({k: v.contiguous() for k, v in self.averaged.items()}, self.folder / "best.safetensors")
        return result

    def log(self, record: dict) -> None:
        if self.rank == 0:
            with (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
            for listener in self.listeners:
                listener(record)

    def save_checkpoint(self, minutes: float) -> None:
        """Everything needed to go on: weights, averages, optimisers, counters. Written beside and then renamed."""
        tensors = {f"model.{k}": v for k, v in self.state().items()} | {
            f"averaged.{k}": v for k, v in self.averaged.items()
        }
        for name, optimizer in {**self.optimizers, "adversary": self.adversary}.items():
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        tensors |= {f"discriminator.{k}": v for k, v in self.discriminator.state_dict().items()}
        counters = {
            "step": self.step,
            "minutes": self.spent_minutes + minutes,
            "cpu_hours": self.cpu_hours,
            "best": self.best,
            "config": asdict(self.config),
        }
        partial = self.checkpoint.with_suffix(".partial")
        save_file(
            {k: v.contiguous().clone() for k, v in tensors.items()},
            partial,
            metadata={"counters": json.dumps(counters)},
        )
        partial.rename(self.checkpoint)

    def load_checkpoint(self) -> None:
        with safe_open(self.checkpoint, framework="pt") as file:
            counters = json.loads(file.metadata()["counters"])
        tensors = load_file(self.checkpoint)
        load_state(below("model.", tensors), self.model, self.averager)
        self.averaged = {name: value.to(self.device) for name, value in below("averaged.", tensors).items()}
        self.discriminator.load_state_dict(below("discriminator.", tensors))
        for name, optimizer in {**self.optimizers, "adversary": self.adversary}.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in below(f"{name}.", tensors).items():
                index, field = key.split(".")
                state.setdefault(int(index), {})[field] = value
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.step, self.spent_minutes, self.best = counters["step"], counters["minutes"], counters["best"]
        self.spent_cpu_hours = counters.get("cpu_hours", 0.0)


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def load_state(state: dict[str, Tensor], model: Autoencoder, averager: CodebookAverager) -> None:
    """Put what ``Trainer.state`` gave into a model and its averager; ModelError where it is of another size."""
    try:
        model.load_state_dict({name: value for name, value in state.items() if not name.startswith("averager.")})
        averager.load_state_dict(below("averager.", state))
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ModelError(f"weights that do not fit today's profile {model.profile.name!r}: {reason}") from None


def compile_networks(model: Autoencoder, *others: nn.Module | None, backend: str = "inductor") -> None:
    """Compile, in place, what a step runs on a GPU; names of weights stay as they are."""
    for network in (model.encoder, model.decoder, *others):
        if network is not None:
            network.compile(backend=backend, dynamic=False)


def loading_processes() -> int:
    """Processes that cut crops, some 270 a second each, for a GPU that takes thousands."""
    return max(1, min(usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 2, 16))


def ignore_terminate(worker: int) -> None:
    """SIGTERM or Ctrl-C to the group asks the trainer to save and stop; its loader must live until then."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
