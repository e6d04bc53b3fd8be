"""What torch.compile says where it cannot compile, in a line."""

from collections.abc import Iterator
from contextlib import contextmanager

_COMPILER = ("torch._dynamo", "torch._inductor")


@contextmanager
def compiling(model: str) -> Iterator[None]:
    """Raises ValueError, with the model's name, instead of what torch.compile raises where it cannot compile.

    It compiles when a model is first used, so its errors may come from any pass, forward or backward.
    """
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(_COMPILER):
            raise
        reason = " ".join(str(error).partition("\n\n")[0].split())[:300]
        raise ValueError(
            f"torch.compile must be able to compile the model here, got {model} and {reason}; "
            "go on without (--no-compile), in another directory (--out)"
        ) from error
