"""Slow, plain versions of the papers' algorithms, to compare the library with.

Nothing here knows of `advprop`: auxiliary norms are whole second networks that share every tensor but
those of the norms, and each pass is a forward and a backward of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

MEAN, STD = 0.5, 0.25  # exact in binary


class TinyNet(nn.Module):
    """A network with all that an attack may disturb: batch norms, a dropout layer, two nested modules."""

    def __init__(self, classes: int = 5, channels: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.Tanh(), nn.Dropout(dropout)
        )
        self.head = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Tanh())
        self.classifier = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of normalised images."""
        logits: Tensor = self.classifier(self.head(self.body(x)).mean((2, 3)))
        return logits


def batch(
    size: int = 4, side: int = 8, classes: int = 5, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Random pixels in [0, 1], some of them exactly 0 and 1, and labels."""
    images = (torch.rand(size, 3, side, side, dtype=dtype) * 1.2 - 0.1).clamp(0, 1)
    return images, torch.arange(size) % classes


def tied_twins(model: nn.Module, count: int) -> list[nn.Module]:
    """The model and copies of it that share every parameter but those of their batch norms."""
    twins = [model]
    for _ in range(count - 1):
        twin = copy.deepcopy(model)
        for name, module in model.named_modules():
            if not isinstance(module, _BatchNorm):
                twin.get_submodule(name)._parameters.update(module._parameters)
        twins.append(twin)
    return twins


def parameters_of(networks: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Every parameter of some networks once."""
    return list({id(p): p for network in networks for p in network.parameters()}.values())


def norm_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The parameters of a network's batch norms."""
    return [p for m in network.modules() if isinstance(m, _BatchNorm) for p in m.parameters()]


def normalised(images: Tensor) -> Tensor:
    """What the networks take."""
    return (images - MEAN) / STD


def random_start(images: Tensor, eps: float) -> Tensor:
    """A uniformly random point within eps of each pixel."""
    noise = torch.rand(images.shape).to(images.dtype)
    return (images + (2 * noise - 1) * eps).clamp(0, 1)


def random_wrong_classes(labels: Tensor, classes: int) -> Tensor:
    """For each image the wrong class that draws the highest number."""
    draws = torch.rand(len(labels), classes)
    wrong = [[c for c in range(classes) if c != int(label)] for label in labels]
    return torch.tensor([max(row, key=lambda c: float(draws[i, c])) for i, row in enumerate(wrong)])


def pgd(
    network: nn.Module, images: Tensor, labels: Tensor, *, eps: float, step_size: float, steps: int
) -> Tensor:
    """AdvProp's attacker: L-infinity, towards a random wrong class, norms in evaluation mode."""
    training = network.training
    network.eval()
    start = random_start(images, eps)
    targets = random_wrong_classes(labels, network(normalised(images[:1])).shape[1])
    attacked = [
        _descend(network, start[i], images[i], targets[i], eps=eps, step_size=step_size, steps=steps)
        for i in range(len(images))
    ]
    network.train(training)
    return torch.stack(attacked)


def _descend(
    network: nn.Module, x: Tensor, clean: Tensor, target: Tensor, *, eps: float, step_size: float, steps: int
) -> Tensor:
    for _ in range(steps):
        x = x.detach().requires_grad_()
        loss = F.cross_entropy(network(normalised(x[None])), target[None])
        (gradient,) = torch.autograd.grad(loss, [x])
        x = x.detach() - step_size * gradient.sign()
        x = torch.minimum(torch.maximum(x, clean - eps), clean + eps).clamp(0, 1)
    return x


def standard_step(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Leave the gradients of standard training in `.grad`."""
    F.cross_entropy(network(normalised(images)), labels).backward()


def advprop_step(
    networks: Sequence[nn.Module],
    sources: Sequence[Callable[[nn.Module, Tensor, Tensor], Tensor]],
    images: Tensor,
    labels: Tensor,
) -> None:
    """Algorithm 1 of AdvProp, one auxiliary network a source: gradients of the summed losses in `.grad`."""
    main, *auxiliaries = networks
    views = [source(network, images, labels) for source, network in zip(sources, auxiliaries, strict=True)]
    F.cross_entropy(main(normalised(images)), labels).backward()
    for network, view in zip(auxiliaries, views, strict=True):
        F.cross_entropy(network(normalised(view)), labels).backward()


def adversarial_step(
    network: nn.Module,
    source: Callable[[nn.Module, Tensor, Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
) -> None:
    """Clean and adversarial images through the same norms, as one batch."""
    adversarial = source(network, images, labels)
    logits = network(normalised(torch.cat([images, adversarial])))
    clean, attacked = logits[: len(images)], logits[len(images) :]
    (F.cross_entropy(clean, labels) + F.cross_entropy(attacked, labels)).backward()


def fast_advprop_step(
    main: nn.Module,
    aux: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    n_adv: int,
    eps: float,
    step_size: float,
) -> None:
    """Fast AdvProp, section 3: the gradient of each image is summed, then divided by the images' weights."""
    n_clean = len(images) - n_adv
    clean, clean_labels = images[:n_clean], labels[:n_clean]
    origin, adv_labels = images[n_clean:], labels[n_clean:]

    noisy = random_start(origin, eps).requires_grad_()
    (0.5 * F.cross_entropy(aux(normalised(noisy)), adv_labels, reduction="sum")).backward()
    adversarial = noisy.detach() + step_size * noisy.grad.sign()
    adversarial = torch.minimum(torch.maximum(adversarial, origin - eps), origin + eps).clamp(0, 1)

    F.cross_entropy(main(normalised(clean)), clean_labels, reduction="sum").backward()
    (0.5 * F.cross_entropy(aux(normalised(adversarial)), adv_labels, reduction="sum")).backward()

    weight_clean, weight_adv = 1.0 * n_clean, 0.5 * n_adv + 0.5 * n_adv
    own_main, own_aux = ({id(p) for p in norm_parameters(network)} for network in (main, aux))
    for parameter in parameters_of([main, aux]):
        if id(parameter) in own_main:
            parameter.grad /= weight_clean
        elif id(parameter) in own_aux:
            parameter.grad /= weight_adv
        else:
            parameter.grad /= weight_clean + weight_adv


class NoWait(TorchDispatchMode):
    """Refuses what would make the processor wait for a GPU: reading a value, sending one up."""

    _waits = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "lift_fresh")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in self._waits:
            raise AssertionError(f"a GPU would wait for {func}")
        return func(*args, **(kwargs or {}))
