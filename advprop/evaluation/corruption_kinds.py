"""The fifteen kinds of corruption, each for a whole batch `[B, C, H, W]` of float32 pixels in [0, 1].

Every function takes the images, the random numbers of each, the scale of lengths in pixels (1 at
224 x 224) and the numbers of a severity as published for 224 x 224. Results may leave [0, 1].
"""

import io
import math

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from advprop.evaluation import corruption_parts as parts
from advprop.evaluation.rng import Draws

_GRAY = (0.299, 0.587, 0.114)


def gaussian_noise(images: Tensor, draws: Draws, scale: float, std: float) -> Tensor:
    """Normal noise on every value: a sensor in low light."""
    return images + std * draws.normal(*images.shape[1:])


def shot_noise(images: Tensor, draws: Draws, scale: float, photons: float) -> Tensor:
    """Poisson noise: each value counts about `photons` at white."""
    return draws.poisson(images * photons, photons) / photons


def impulse_noise(images: Tensor, draws: Draws, scale: float, share: float) -> Tensor:
    """Salt and pepper on a share of the values."""
    level = draws.uniform(*images.shape[1:])
    return torch.where(level < share, (level < share / 2).to(images.dtype), images)


def defocus_blur(images: Tensor, draws: Draws, scale: float, radius: float, softness: float) -> Tensor:
    """Blur of a lens out of focus: the mean over a disc with a slightly soft edge."""
    radius = max(radius * scale, 0.6)  # a smaller disc has no neighbors in it
    half = math.ceil(radius) + 2
    axis = torch.arange(-half, half + 1, device=images.device)
    disc = (radius + 0.5 - torch.hypot(axis[:, None].float(), axis.float())).clamp(0, 1)
    disc = parts.smooth(disc, softness)
    return parts.convolve(images, (disc / disc.sum())[None], "reflect")


def glass_blur(images: Tensor, draws: Draws, scale: float, sigma: float, reach: int, rounds: int) -> Tensor:
    """Frosted glass: pixels copied from near by, `rounds` times, between two slight blurs."""
    images = parts.smooth(images, sigma * scale)
    for _ in range(rounds):
        source = parts.scrambled(draws, images.shape[2], images.shape[3], reach * scale)
        images = images.flatten(2).gather(2, source.expand(-1, images.shape[1], -1)).view_as(images)
    return parts.smooth(images, sigma * scale)


def motion_blur(images: Tensor, draws: Draws, scale: float, radius: float, sigma: float) -> Tensor:
    """Blur of a moving camera, within 45 degrees of level."""
    trail = parts.trail(90 * draws.uniform() - 45, radius * scale, sigma * scale)
    return parts.convolve(images, trail, "replicate")


def zoom_blur(images: Tensor, draws: Draws, scale: float, step: float, layers: int) -> Tensor:
    """Blur of a camera that moves forward: the mean over a row of zooms."""
    total = images.clone()
    for layer in range(layers):
        total += parts.zoom(images, 1 + layer * step)
    return total / (layers + 1)


def snow(
    images: Tensor,
    draws: Draws,
    scale: float,
    mean: float,
    std: float,
    size: float,
    threshold: float,
    radius: float,
    sigma: float,
    keep: float,
) -> Tensor:
    """Falling flakes in front of a whitened picture."""
    flakes = parts.zoom(mean + std * draws.normal(1, *images.shape[2:]), max(1.5, size * scale))
    flakes = torch.where(flakes < threshold, 0, flakes).clamp(0, 1)
    fall = parts.trail(90 * draws.uniform() - 135, radius * scale, sigma * scale)
    flakes = parts.convolve(flakes, fall, "replicate")
    white = torch.maximum(images, 1.5 * _gray(images) + 0.5)
    return keep * images + (1 - keep) * white + flakes + flakes.rot90(2, (2, 3))


def frost(images: Tensor, draws: Draws, scale: float, keep: float, ice: float) -> Tensor:
    """Ice crystals on the lens: drawn here, with the light and structure of the paper's photographs."""
    texture = parts.ice(draws, images.shape[2], images.shape[3], scale)
    return keep * images + ice * (texture if images.shape[1] == 3 else _gray(texture))


def fog(images: Tensor, draws: Draws, scale: float, thickness: float, decay: float) -> Tensor:
    """Mist of varying thickness."""
    peak = images.amax((1, 2, 3), keepdim=True)
    mist = parts.plasma(draws, images.shape[2], images.shape[3], decay)
    return (images + thickness * mist) * peak / (peak + thickness)


def brightness(images: Tensor, draws: Draws, scale: float, shift: float) -> Tensor:
    """More light: the value of hue, saturation and value is raised."""
    value = images.amax(1, keepdim=True)
    lit = (value + shift).clamp(max=1)
    return torch.where(value > 0, images * (lit / value), lit)


def contrast(images: Tensor, draws: Draws, scale: float, factor: float) -> Tensor:
    """Less contrast: every value drawn to the mean of its channel."""
    mean = images.mean((2, 3), keepdim=True)
    return mean + factor * (images - mean)


def elastic_transform(
    images: Tensor, draws: Draws, scale: float, strength: float, sigma: float, share: float
) -> Tensor:
    """A random affine map (corners moved by a share of the side), then a smooth random displacement.

    The picture is resampled twice, as published: each time it loses a little of its sharpness.
    """
    height, width = images.shape[2:]
    axes = (torch.arange(side, dtype=images.dtype, device=images.device) for side in (width, height))
    points = torch.stack(torch.meshgrid(*axes, indexing="xy"))
    noise = 2 * draws.uniform(2, height, width) - 1
    origins = parts.random_affine(draws, points.flatten(1), height, width, share)
    images = parts.resample(images, origins.view(-1, 2, height, width))
    # Lengths shrink with the scale, and the mean displacement goes with strength / sigma.
    return parts.resample(
        images, points + strength * scale**2 * parts.smooth(noise, sigma * scale, truncate=3)
    )


def pixelate(images: Tensor, draws: Draws, scale: float, factor: float) -> Tensor:
    """Fewer, larger pixels: blocks of `1 / factor` pixels at 224 x 224."""
    factor = 1 / (1 + (1 / factor - 1) * scale)
    rows, columns = (parts.block_means(size, factor, images) for size in images.shape[2:])
    return rows @ images @ columns


def jpeg_compression(images: Tensor, draws: Draws, scale: float, quality: int) -> Tensor:
    """JPEG of low quality. Small pictures are quantized less coarsely, by the scale."""
    coarseness = min(scale, 1.0) * 5000 / quality  # the percentage that qualities up to 50 stand for
    quality = round(5000 / coarseness if coarseness >= 100 else (200 - coarseness) / 2)
    pixels = (images * 255).round().to("cpu", torch.uint8)
    return torch.stack([_jpeg(to_pil_image(image), quality) for image in pixels]).to(images) / 255


def _jpeg(image: Image.Image, quality: int) -> Tensor:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as decoded:
        pixels: Tensor = pil_to_tensor(decoded)
    return pixels


def _gray(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    return (images * torch.tensor(_GRAY, device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
