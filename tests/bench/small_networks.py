"""Three small networks that are neither transformers nor large, each with a task that is learnt in a minute.

A network is `first`, then `second`: what passes between them are its activations. Every draw is seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, glu

_NOBODY = -100
"""Label of what is not asked for; cross_entropy leaves it out."""
_RATE_OF_LEARNING = 3e-3


@dataclass(frozen=True)
class Task:
    """A network, batches (x, labels) to learn from, and one to be judged by."""

    first: nn.Module
    second: nn.Module
    batch: Callable[[], tuple[Tensor, Tensor]]
    judged: tuple[Tensor, Tensor]

    @property
    def network(self) -> nn.Sequential:
        return nn.Sequential(self.first, self.second)

    def learn(self, steps: int) -> None:
        optimiser = torch.optim.Adam(self.network.parameters(), _RATE_OF_LEARNING)
        for _ in range(steps):
            x, labels = self.batch()
            optimiser.zero_grad()
            cross_entropy(self.network(x).flatten(0, -2), labels.flatten()).backward()
            optimiser.step()

    @torch.inference_mode()
    def accuracy(self, activations: Tensor | None = None) -> float:
        """Share of right labels, perhaps from other activations."""
        x, labels = self.judged
        found = self.second(self.first(x) if activations is None else activations).argmax(-1)
        return float((found == labels)[labels != _NOBODY].double().mean())

    @torch.inference_mode()
    def activations(self) -> Tensor:
        """Of the batch to be judged by: (rows, ..., channels)."""
        return self.first(self.judged[0])


class StateSpace(nn.Module):
    """(B, T, H) -> (B, T, H): a diagonal complex state space of 16 states per channel, then a gated linear layer.

    Source: Gu et al., "On the parameterization and initialization of diagonal state space models", NeurIPS 2022.
    """

    def __init__(self, channels: int, states: int = 16) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.log(torch.full((channels, states), 0.05)))
        self.frequency = nn.Parameter(torch.pi * torch.rand(channels, states))
        self.out = nn.Parameter(torch.randn(channels, 2 * states) / states)
        self.mix = nn.Linear(channels, 2 * channels)

    def forward(self, u: Tensor) -> Tensor:
        length = u.shape[1]
        rate = torch.complex(-self.decay.exp(), self.frequency)
        powers = torch.exp(rate[..., None] * torch.arange(length))
        kernel = torch.einsum("hn,hnt->ht", torch.complex(*self.out.chunk(2, dim=1)), powers).real
        spectrum = torch.fft.rfft(u, 2 * length, dim=1) * torch.fft.rfft(kernel.T, 2 * length, dim=0)
        y = torch.fft.irfft(spectrum, 2 * length, dim=1)[:, :length]
        return u + glu(self.mix(gelu(y)))


class MeanOverTime(nn.Module):
    """(B, T, H) -> (B, H)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


def state_space(channels: int = 128, length: int = 128, classes: int = 16) -> Task:
    """Which two of the frequencies a noisy sequence is made of."""
    torch.manual_seed(1)
    first = nn.Sequential(nn.Linear(1, channels), StateSpace(channels))
    second = nn.Sequential(StateSpace(channels), MeanOverTime(), nn.Linear(channels, classes))

    def batch(size: int = 48) -> tuple[Tensor, Tensor]:
        labels = torch.randint(classes, (size,))
        pair = torch.stack([0.3 + 0.05 * (labels % 4), 0.9 + 0.05 * (labels // 4)], dim=1)
        angles = pair[:, None] * torch.arange(length)[:, None] + 2 * torch.pi * torch.rand(size, 1, 2)
        return (angles.sin().sum(dim=2) + 1.5 * torch.randn(size, length))[..., None], labels

    return Task(first, second, batch, batch(150))


class GraphLayer(nn.Module):
    """(nodes, D) -> (nodes, H): mean over neighbours, then a linear layer and perhaps a ReLU.

    Source: Kipf, Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017.
    """

    def __init__(self, neighbours: Tensor, into: int, out: int, *, last: bool = False) -> None:
        super().__init__()
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.linear = nn.Linear(into, out)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(self.neighbours @ x)
        return y if self.last else y.relu()


def graph(nodes: int = 2000, groups: int = 8, features: int = 64, channels: int = 192) -> Task:
    """The community of nodes of a random graph, from that of one in ten and features that say little."""
    torch.manual_seed(2)
    group = torch.randint(groups, (nodes,))
    likely = torch.where(group[:, None] == group, 20.0 / nodes, 2.0 / nodes)
    edges = (torch.rand(nodes, nodes) < likely).float().triu(1)
    linked = edges + edges.T + torch.eye(nodes)
    neighbours = (linked / linked.sum(1, keepdim=True)).to_sparse()
    x = torch.randn(groups, features)[group] * 0.4 + torch.randn(nodes, features)
    known = torch.rand(nodes) < 0.1
    hidden = [GraphLayer(neighbours, into, channels) for into in (features, channels)]
    second = nn.Sequential(
        GraphLayer(neighbours, channels, channels), GraphLayer(neighbours, channels, groups, last=True)
    )
    train, test = (group.masked_fill(left_out, _NOBODY) for left_out in (~known, known))
    return Task(nn.Sequential(*hidden), second, lambda: (x, train), (x, test))


class ChannelsLast(nn.Module):
    """(B, C, H, W) -> (B, H * W, C), tokens as embdc takes them; `back` undoes it for a square."""

    def __init__(self, *, back: bool = False) -> None:
        super().__init__()
        self.back = back

    def forward(self, x: Tensor) -> Tensor:
        if not self.back:
            return x.flatten(2).transpose(1, 2)
        side = round(x.shape[1] ** 0.5)
        return x.transpose(1, 2).unflatten(2, (side, side))


def convolutional(side: int = 32, classes: int = 8) -> Task:
    """The orientation of a noisy grating, and whether it is a grating or a checkerboard."""
    torch.manual_seed(3)

    def halved(into: int, out: int) -> nn.Conv2d:
        return nn.Conv2d(into, out, 3, stride=2, padding=1)

    first = nn.Sequential(halved(1, 48), nn.ReLU(), halved(48, 96), ChannelsLast())
    pooled = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, classes))
    second = nn.Sequential(ChannelsLast(back=True), nn.ReLU(), halved(96, 96), pooled)
    v, h = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")

    def batch(size: int = 64) -> tuple[Tensor, Tensor]:
        labels = torch.randint(classes, (size,))
        turn = (torch.pi / 4 * (labels % 4) / 2)[:, None, None]
        across, along = v * turn.cos() + h * turn.sin(), h * turn.cos() - v * turn.sin()
        first_wave, other_wave = ((0.9 * one + 6.3 * torch.rand(size, 1, 1)).sin() for one in (across, along))
        picture = first_wave * torch.where((labels < 4)[:, None, None], 0.7, other_wave)
        return (picture + 1.7 * torch.randn(size, side, side))[:, None], labels

    return Task(first, second, batch, batch(250))


NETWORKS = {"state space": (state_space, 100), "graph": (graph, 40), "convolutional": (convolutional, 200)}
"""What makes each, and steps to learn for."""
