"""Answers what is on a picture. Start it with: MODEL=model.onnx python -m uvicorn server:app."""

import io
import json
import os
from typing import Annotated, Any

import numpy as np
import onnxruntime
from fastapi import Body, FastAPI, HTTPException
from PIL import Image, ImageOps

app = FastAPI()
session = onnxruntime.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])
told = session.get_modelmeta().custom_metadata_map
config, names = json.loads(told["pretrained_cfg"]), json.loads(told["class_names"])
channels, *wanted = config["input_size"]
squash = {"center": False, "squash": True}[config["crop_mode"]]


def prepare(picture: Image.Image) -> Any:
    """Pixels [1, C, H, W] in [0, 1] of the picture, resized and cropped as in the tests of the training."""
    if picture.mode.startswith(("I", "F")):
        raise ValueError("more than 8 bits")
    picture = ImageOps.exif_transpose(picture) if config["exif_orientation"] else picture
    sides, goal = np.array(picture.size), np.array(wanted[::-1]) / config["crop_pct"] // 1
    size = goal if squash else goal[(tight := (goal / sides).argmax())] * sides / sides[tight]
    picture = picture.convert("L" if channels == 1 else "RGB")
    picture = picture.resize(size.astype(int), Image.Resampling[config["interpolation"].upper()])
    left, top = ((size.astype(int) - wanted[::-1]) / 2).round().astype(int)
    pixels = np.asarray(picture.crop((left, top, left + wanted[1], top + wanted[0])), np.float32) / 255
    return pixels.reshape(1, *wanted, channels).transpose(0, 3, 1, 2)


@app.post("/predict")
def predict(
    picture: Annotated[bytes, Body(media_type="application/octet-stream")],
) -> list[tuple[str, float]]:
    """The five likeliest classes of a picture, each with its probability."""
    try:
        pixels = prepare(Image.open(io.BytesIO(picture)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise HTTPException(422, "the body must be a picture of 8 bits that Pillow reads") from error
    [[logits]] = session.run(None, {"images": pixels})
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    return [(names[label], float(shares[label])) for label in (-shares).argsort()[:5]]
