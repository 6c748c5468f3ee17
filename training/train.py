"""Train the shipped network on Fashion-MNIST and write its folded float weights.

    python -m training.train        (PyTorch 2.13.0, one thread, about eight minutes)

Reads the data set from Debian's package dataset-fashion-mnist. Writes intaglio/data/fashion_resnet_float.npz
(intaglio.network.float_network tells its format). Pixels enter as value / 255, range 0..1.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from intaglio import data
from intaglio.network.float_network import FloatNetwork, Layer
from training.fashion_mnist import load_split

SEED = 20240607
EPOCHS = 9
BATCH = 128
PEAK_RATE = 0.15


class SameConv(nn.Module):
    """Convolution with TensorFlow's SAME padding (an odd pixel goes below and right), then batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.kernel = kernel
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, C, H, W], H and W multiples of the stride."""
        total = max(self.kernel - self.stride, 0)
        before = total // 2
        return self.norm(self.conv(functional.pad(x, (before, total - before) * 2)))

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """(weights [O, KH, KW, I], bias [O]), float32, of the one convolution that does both at inference."""
        gain = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        weights = self.conv.weight * gain[:, None, None, None]
        bias = self.norm.bias - self.norm.running_mean * gain
        return weights.permute(0, 2, 3, 1).detach().contiguous().numpy(), bias.detach().numpy()


class Block(nn.Module):
    """relu(second(relu(first(x))) + shortcut(x)), through a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = SameConv(inputs, outputs, 3, stride)
        self.second = SameConv(outputs, outputs, 3)
        changes = stride != 1 or inputs != outputs
        self.shortcut = SameConv(inputs, outputs, 1, stride) if changes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(functional.relu(self.first(x)))
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Network(nn.Module):
    """Stem of 12 channels at 28x28, blocks 12->20 at 14x14, 20->36 and 36->36 at 7x7, mean, 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(1, 12, 3)
        self.blocks = nn.ModuleList([Block(12, 20, 2), Block(20, 36, 2), Block(36, 36, 1)])
        self.classes = nn.Linear(36, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [N, 1, 28, 28] in 0..1; returns logits [N, 10]."""
        x = functional.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.classes(x.mean(dim=(2, 3)))


def export(network: Network) -> FloatNetwork:
    """The network with batch norm folded, as plain layers and arrays."""
    layers: list[Layer] = []
    arrays: dict[str, np.ndarray] = {}

    def conv(name: str, source: str, module: SameConv, activation: str | None) -> str:
        arrays[f"{name}/weights"], arrays[f"{name}/bias"] = module.folded()
        layers.append(Layer(name, "conv2d", (source,), stride=(module.stride,) * 2, activation=activation))
        return name

    value = conv("stem", "input", network.stem, "RELU")
    for number, block in enumerate(network.blocks, start=1):
        shortcut = value
        inner = conv(f"block{number}_first", value, block.first, "RELU")
        inner = conv(f"block{number}_second", inner, block.second, None)
        if block.shortcut is not None:
            shortcut = conv(f"block{number}_shortcut", value, block.shortcut, None)
        value = f"block{number}_add"
        layers.append(Layer(value, "add", (inner, shortcut), activation="RELU"))
    layers.append(Layer("pool", "average_pool", (value,), filter=(7, 7), stride=(7, 7), padding="VALID"))
    layers.append(Layer("classes", "fully_connected", ("pool",)))
    arrays["classes/weights"] = network.classes.weight.detach().numpy()
    arrays["classes/bias"] = network.classes.bias.detach().numpy()
    return FloatNetwork("fashion_resnet", (28, 28, 1), tuple(layers), arrays)


def augmented(images: torch.Tensor) -> torch.Tensor:
    """images [N, 1, 28, 28], each mirrored with probability 1/2 and moved by up to one pixel as a batch."""
    mirror = torch.rand(len(images)) < 0.5
    images = torch.where(mirror[:, None, None, None], images.flip(3), images)
    rows, cols = torch.randint(-1, 2, (2,)).tolist()
    return images.roll((rows, cols), dims=(2, 3))


def accuracy(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of images whose largest logit is the label's."""
    network.eval()
    with torch.no_grad():
        hits = sum(
            int((network(x).argmax(1) == y).sum()) for x, y in zip(images.split(500), labels.split(500), strict=True)
        )
    return hits / len(labels)


def train(epochs: int) -> Network:
    """The trained network; the same on every run of one machine and PyTorch version."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    images, labels = (torch.from_numpy(a) for a in load_split("train"))
    images = images[:, None].float() / 255
    test_images, test_labels = (torch.from_numpy(a) for a in load_split("t10k"))
    test_images = test_images[:, None].float() / 255
    labels, test_labels = labels.long(), test_labels.long()

    network = Network().to(memory_format=torch.channels_last)
    steps = -(-len(images) // BATCH)
    optimizer = torch.optim.SGD(network.parameters(), PEAK_RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=epochs * steps)
    start = time.monotonic()
    for epoch in range(epochs):
        network.train()
        for chosen in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            logits = network(augmented(images[chosen]))
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            schedule.step()
        print(
            f"epoch {epoch + 1}/{epochs}: test accuracy {accuracy(network, test_images, test_labels):.4f}, "
            f"{time.monotonic() - start:.0f} s",
            flush=True,
        )
    return network


def main() -> None:
    """Train, fold, save."""
    parser = argparse.ArgumentParser(description="Train the shipped network on Fashion-MNIST.")
    parser.add_argument("--output", type=Path, default=data.FLOAT_MODEL)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    network = train(arguments.epochs)
    network.eval()
    export(network).save(arguments.output)
    print(f"wrote {arguments.output}: {sum(p.numel() for p in network.parameters())} parameters")


if __name__ == "__main__":
    main()
