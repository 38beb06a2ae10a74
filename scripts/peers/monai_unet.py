"""MONAI's U-Net and its training for a given processor time. Needs torch and monai.

The number of images is N, of images in a batch B; height and width are H and W, those
of the part that trains H' and W'.
"""

import copy
import dataclasses
import math
import time
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from monai import data, transforms
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.utils import set_determinism

from spectjax.ops.normalisation import normalise_by_root


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a training depends on, beside its data.

    Attributes:
        seconds: processor time to train for, over all threads.
        threads: of PyTorch.
        train_hw: H' and W', central part of the images, multiples of 16, pixels.
        batch_size: B.
        learning_rate: of Adam, at its highest.
        schedule: "constant" or "cosine": of the learning rate, over the time.
        normalisation: "min_max" or "square_root": how counts become inputs.
        seed: of weights, order and moves.
    """

    seconds: float
    threads: int
    train_hw: tuple[int, int]
    batch_size: int
    learning_rate: float
    schedule: str
    normalisation: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Training:
    """A training that is over.

    Attributes:
        network: the peer, as its last step left it.
        log: CSV with the columns epoch, loss, PA and seconds; a row for each epoch, the
            last one perhaps cut short.
        facts: `parameters`, `steps`, `epochs`, `processor_seconds`, `wall_seconds`.
    """

    network: Any
    log: str
    facts: dict[str, float]


def train(images: np.ndarray, masks: np.ndarray, settings: Settings) -> Training:
    """Trains the peer until its time is over.

    Args:
        images: counts, (N, H, W, 1).
        masks: class of each pixel, (N, H, W).
        settings: how.
    """
    torch.set_num_threads(settings.threads)
    set_determinism(settings.seed)
    data.set_track_meta(False)  # of files, which these images are not
    network = create_network().train()
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
    loader = create_loader(images, masks, settings)
    _warm_up(network, settings)
    rows = ["epoch,loss,PA,seconds"]
    steps, elapsed = 0, 0.0
    wall_start, start = time.monotonic(), time.process_time()
    while elapsed < settings.seconds:
        epoch_start, found = elapsed, []
        for batch in loader:
            factor = scale_rate(elapsed / settings.seconds, settings.schedule)
            optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
            found.append(take_step(network, optimizer, batch["image"], batch["mask"]))
            elapsed = time.process_time() - start
            if elapsed >= settings.seconds:
                break
        steps += len(found)
        loss, accuracy = np.mean(found, axis=0)
        rows.append(
            f"{len(rows)},{loss:.6f},{accuracy:.6f},{elapsed - epoch_start:.3f}"
        )
    facts = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "steps": steps,
        "epochs": steps / len(loader),
        "processor_seconds": elapsed,
        "wall_seconds": time.monotonic() - wall_start,
    }
    return Training(network.eval(), "\n".join(rows) + "\n", facts)


def create_network() -> torch.nn.Module:
    """Returns MONAI's U-Net with the fields of its tutorials."""
    network = UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=2,
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
        norm="batch",
    )
    # About a tenth faster than channels first on the processor at hand.
    return network.to(memory_format=torch.channels_last)


def create_loader(
    images: np.ndarray, masks: np.ndarray, settings: Settings
) -> data.DataLoader:
    """Returns batches of `image` and `mask`, (B, 1, H', W'), moved at random."""
    keys = ("image", "mask")
    moves = transforms.Compose(
        [
            transforms.RandFlipd(keys, prob=0.5, spatial_axis=1),
            # Cuts out the central part in the same interpolation.
            transforms.RandAffined(
                keys,
                prob=1.0,
                rotate_range=math.pi / 15,
                scale_range=(0.1, 0.1),
                spatial_size=settings.train_hw,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
        ]
    )
    inputs = normalise(images, settings.normalisation)
    rows = [
        {"image": image, "mask": torch.from_numpy(mask[None])}
        for image, mask in zip(inputs, masks, strict=True)
    ]
    return data.DataLoader(
        data.Dataset(rows, moves),
        batch_size=settings.batch_size,
        shuffle=True,
        drop_last=True,
    )


def normalise(counts: np.ndarray, normalisation: str) -> torch.Tensor:
    """Returns inputs (N, 1, H, W), float32, for counts (N, H, W, 1).

    "min_max" is MONAI's ScaleIntensity, "square_root" what our modern recipe does.
    """
    if normalisation == "square_root":
        inputs = torch.from_numpy(np.array(normalise_by_root(jnp.asarray(counts))))
        return inputs.permute(0, 3, 1, 2)
    inputs = torch.from_numpy(counts.astype(np.float32)).permute(0, 3, 1, 2)
    return torch.stack([transforms.ScaleIntensity()(image) for image in inputs])


def scale_rate(progress: float, schedule: str) -> float:
    """Returns the factor of the learning rate, in [0, 1]; progress is in [0, 1]."""
    if schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * progress)) / 2


def take_step(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    masks: torch.Tensor,
) -> tuple[float, float]:
    """Takes a step; returns the loss and the share of pixels that were right."""
    criterion = DiceCELoss(
        to_onehot_y=True, softmax=True, squared_pred=True, batch=True
    )
    optimizer.zero_grad()
    logits = network(images.contiguous(memory_format=torch.channels_last))
    loss = criterion(logits, masks)
    loss.backward()
    optimizer.step()
    right = logits.detach().argmax(dim=1, keepdim=True) == masks
    return loss.item(), right.float().mean().item()


def predict_probs(
    network: torch.nn.Module, counts: np.ndarray, normalisation: str
) -> np.ndarray:
    """Returns probabilities (B, H, W, 2), float32, for counts (B, H, W, 1)."""
    inputs = normalise(counts, normalisation)
    with torch.inference_mode():
        logits = network(inputs.contiguous(memory_format=torch.channels_last))
    return logits.softmax(dim=1).permute(0, 2, 3, 1).numpy()


def _warm_up(network: torch.nn.Module, settings: Settings) -> None:
    """Takes a step with a copy, so that what is set up once is not counted."""
    twin = copy.deepcopy(network)
    images = torch.zeros((settings.batch_size, 1, *settings.train_hw))
    take_step(twin, torch.optim.Adam(twin.parameters()), images, images)
