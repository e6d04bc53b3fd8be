"""Evaluation or training mode, or weights without gradients, for a while; then the model is as it was."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal, TypeAlias

import torch
from torch import nn

Mode: TypeAlias = Literal["eval", "train"]


@contextmanager
def in_mode(model: nn.Module, mode: Mode, generator: torch.Generator | None = None) -> Iterator[None]:
    """Puts a model in evaluation or training mode for a while; leaves no trace on it.

    Afterwards every module's training flag and every buffer (running statistics) is as before, whatever
    happened inside. With a generator, the randomness inside (dropout) comes from it and the global
    random state, of the CPU and of the model's devices, is left as it was.

    Args:
        model: Any model.
        mode: `"eval"` or `"train"`.
        generator: Seeds what is random inside.
    """
    flags = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()] if mode == "train" else []
    with ExitStack() as stack:
        if generator is not None:
            stack.enter_context(_forked_rng(model, generator))
        model.train(mode == "train")
        try:
            yield
        finally:
            model.train()  # what layers keep for evaluation goes, such as timm's attention biases
            if not flags[0][1]:
                model.eval()
            for module, training in flags:
                module.training = training
            for buffer, before in buffers:
                buffer.data.copy_(before)  # a graph that is open elsewhere takes no notice


@contextmanager
def fixed_weights(model: nn.Module) -> Iterator[None]:
    """Lets no parameter of a model need a gradient for a while.

    A gradient of the images alone computes no other in eager mode. The backward pass of a compiled model
    computes those of all tensors that need one, whatever it is asked for.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


@contextmanager
def _forked_rng(model: nn.Module, generator: torch.Generator) -> Iterator[None]:
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    devices = {p.device for p in model.parameters() if p.device.type != "cpu"}
    kind = next(iter(devices)).type if devices else "cuda"
    with torch.random.fork_rng(devices=list(devices), device_type=kind):
        # torch.manual_seed would seed the devices that are not forked as well.
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        for device in devices:
            state = torch.Generator(device).manual_seed(seed).get_state()
            torch.get_device_module(device).set_rng_state(state, device)
        yield
