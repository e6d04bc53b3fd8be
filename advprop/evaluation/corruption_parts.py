"""What the corruptions are made of: blurs as convolutions or matrices, warps, and drawn textures.

Images are `[B, C, H, W]`, float32; lengths are in pixels.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from advprop.evaluation.rng import Draws

# Enough for chains of 128 pixels behind glass; each link is there with a chance under one half.
_DOUBLINGS = 7


def convolve(images: Tensor, kernels: Tensor, border: str) -> Tensor:
    """Images `[B, C, H, W]` under odd square kernels `[B or 1, K, K]`, by Fourier transform."""
    reach = kernels.shape[-1] // 2
    padded = F.pad(images, (reach,) * 4, mode=border)
    size = padded.shape[2:]
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernels, s=size)[:, None]
    blurred: Tensor = torch.fft.irfft2(spectrum, s=size)
    return blurred[..., 2 * reach :, 2 * reach :]


def smooth(images: Tensor, sigma: float, truncate: int = 4) -> Tensor:
    """Gaussian blur of `[..., H, W]`, cut off at so many sigmas, the picture mirrored at its edges."""
    rows, columns = (_gaussian_means(size, sigma, truncate, images) for size in images.shape[-2:])
    return rows @ images @ columns.T


def _gaussian_means(size: int, sigma: float, truncate: int, like: Tensor) -> Tensor:
    """The matrix `[size, size]` of a Gaussian blur along one axis."""
    reach = int(truncate * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1, device=like.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2).to(like.dtype)
    places = (torch.arange(size, device=like.device)[:, None] + offsets).remainder(2 * size)
    places = torch.minimum(places, 2 * size - 1 - places)
    matrix = torch.zeros(size, size, dtype=like.dtype, device=like.device)
    return matrix.scatter_add_(1, places, (weights / weights.sum()).expand(size, -1).contiguous())


def block_means(size: int, factor: float, like: Tensor) -> Tensor:
    """The matrix `[size, size]` that replaces values along one axis by the mean of their block."""
    blocks = max(1, int(size * factor))
    block = torch.div(
        (2 * torch.arange(size, device=like.device) + 1) * blocks, 2 * size, rounding_mode="floor"
    )
    same = (block[:, None] == block).to(like.dtype)
    return same / same.sum(1, keepdim=True)


def trail(degrees: Tensor, radius: float, sigma: float) -> Tensor:
    """Kernels `[B, K, K]` of a fading trail, one for each angle `[B]`."""
    length = max(1, round(2 * radius))
    steps = torch.arange(length + 1, dtype=degrees.dtype, device=degrees.device)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    radians = torch.deg2rad(degrees)[:, None]
    rows = length - torch.ceil(steps * radians.sin() - 0.5)
    columns = length - torch.ceil(steps * radians.cos() - 0.5)
    side = 2 * length + 1
    kernels = torch.zeros(len(degrees), side * side, dtype=degrees.dtype, device=degrees.device)
    places = (rows * side + columns).long()
    kernels.scatter_add_(1, places, (weights / weights.sum()).expand_as(places).contiguous())
    return kernels.view(-1, side, side)


def zoom(images: Tensor, factor: float) -> Tensor:
    """The middle of the images, enlarged to their size."""
    theta = torch.tensor([[1 / factor, 0, 0], [0, 1 / factor, 0]], device=images.device)
    grid = F.affine_grid(theta.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def scrambled(draws: Draws, height: int, width: int, distance: float) -> Tensor:
    """Which pixel each pixel shows behind glass, `[B, 1, H * W]`; under a distance of 1, some stay.

    One pass from the last pixel to the first, in which each takes the value that a neighbor has by then:
    its own, or the one it took earlier in the pass. The chains of the latter are followed by doubling.
    """
    count, reach = height * width, max(1, round(distance))
    jump = (draws.uniform(2, height, width) * 2 * reach).long() - reach
    rows = torch.arange(height, device=jump.device)[:, None]
    columns = torch.arange(width, device=jump.device)
    moves = (rows > reach) & (rows <= height - reach) & (columns > reach) & (columns <= width - reach)
    moves = moves & (draws.uniform(height, width) < distance)
    own = rows * width + columns
    near = torch.where(moves, own + jump[:, 0] * width + jump[:, 1], own)
    taken = (near > own) & moves.flatten(1).gather(1, near.flatten(1)).view_as(near)
    # A number under `count` is a pixel that has taken a value, one from there on a pixel's own value.
    source = torch.where(taken, near, near + count).flatten(1)
    for _ in range(_DOUBLINGS):
        source = torch.where(source < count, source.gather(1, source.remainder(count)), source)
    return source.remainder(count)[:, None]


def resample(images: Tensor, points: Tensor) -> Tensor:
    """The images at points `[B, 2, H, W]` (x, y) between their pixels, mirrored beyond their edges."""
    size = torch.tensor(images.shape[:1:-1], dtype=points.dtype, device=points.device)
    grid = (2 * points.permute(0, 2, 3, 1) + 1) / size - 1
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def random_affine(draws: Draws, points: Tensor, height: int, width: int, share: float) -> Tensor:
    """Where points `[2, N]` (x, y) come from, `[B, 2, N]`, when three corners move by a share of the side."""
    side = min(height, width)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], device=points.device) * side * 74 / 224
    corners = corners + torch.tensor([width / 2, height / 2], device=points.device)
    moved = corners + share * side * (2 * draws.uniform(3, 2) - 1)
    back, _ = torch.linalg.solve_ex(F.pad(moved, (0, 1), value=1.0), corners.expand_as(moved))
    origins: Tensor = back.mT @ F.pad(points, (0, 0, 0, 1), value=1.0)
    return origins


def plasma(draws: Draws, height: int, width: int, decay: float) -> Tensor:
    """A random landscape of [0, 1], `[B, 1, H, W]`, by midpoint displacement on a torus."""
    size = 1 << (max(height, width) - 1).bit_length()
    land = torch.zeros_like(draws.uniform(size, size))
    step, wobble = size, 1.0

    def displaced(total: Tensor) -> Tensor:
        return total / 4 + wobble * (2 * draws.uniform(*total.shape[1:]) - 1)

    while step > 1:
        half = step // 2
        corners = land[:, ::step, ::step]
        sides = corners + corners.roll(-1, 1)
        centers = displaced(sides + sides.roll(-1, 2))
        land[:, half::step, half::step] = centers
        across = corners + corners.roll(-1, 2)
        land[:, ::step, half::step] = displaced(centers + centers.roll(1, 1) + across)
        land[:, half::step, ::step] = displaced(centers + centers.roll(1, 2) + sides)
        step, wobble = half, wobble / decay**2
    low, high = land.amin((1, 2), keepdim=True), land.amax((1, 2), keepdim=True)
    return ((land - low) / (high - low))[:, None, :height, :width]


def ice(draws: Draws, height: int, width: int, scale: float) -> Tensor:
    """A frosted pane, `[B, 3, H, W]`: ferns of ice of several sizes over a cloudy ground.

    Its light, color, contrast and scale of structure are those of the published photographs, on average.
    """
    clouds = plasma(draws, height, width, 2)
    ferns = torch.zeros_like(clouds)
    for length in (44, 30, 30, 20, 20, 14):
        reach = max(2, round(length * scale))
        seeds = draws.uniform(1, height, width)
        chance = 0.45 / reach**2
        seeds = torch.where(seeds < chance, 0.4 + 0.6 * seeds / chance, 0)
        ferns = torch.maximum(ferns, convolve(seeds, fern(360 * draws.uniform(), reach), "circular"))
    ferns = smooth(ferns.clamp(max=1), 0.5 * scale)
    tone = 0.205 + 0.53 * draws.uniform(1, 1, 1) + 0.17 * clouds + 0.355 * ferns
    tint = torch.tensor([0.9, 1.03, 1.1], device=tone.device).view(1, 3, 1, 1)
    return (tone * tint).clamp(0, 1)


def fern(degrees: Tensor, reach: int) -> Tensor:
    """Kernels `[B, K, K]` of a stem with barbs at 60 degrees, one for each angle `[B]`."""
    steps = torch.arange(0, reach, 0.5, device=degrees.device)
    forth, aside = [steps], [torch.zeros_like(steps)]
    for start in range(0, reach, 5):
        barb = torch.arange(0, 0.45 * (reach - start), 0.5, device=degrees.device)
        for side in (-1, 1):
            forth.append(start + barb * 0.5)
            aside.append(side * barb * math.sqrt(0.75))
    along, across = torch.cat(forth), torch.cat(aside)
    radians = torch.deg2rad(degrees)[:, None]
    rows = (along * radians.sin() + across * radians.cos()).round() + reach
    columns = (along * radians.cos() - across * radians.sin()).round() + reach
    size = 2 * reach + 1
    kernels = torch.zeros(len(degrees), size * size, device=degrees.device)
    fade = 1 - 0.5 * along / reach
    places = (rows * size + columns).long()
    kernels.scatter_reduce_(1, places, fade.expand(len(degrees), -1), "amax")  # the same on every device
    return kernels.view(-1, size, size)
