"""The server of the guide: asked over HTTP, it answers as `predict` does, and a wrong file gets 422."""

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from advprop import PixelModel, create_model, export_onnx, export_timm, predict
from advprop.inference import load_model

NAMES = ("ant", "bee", "cat", "dog", "emu", "fox")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that is tested on the center of a picture, which is turned as its camera noted."""
    built = create_model("test_resnet", num_classes=6, in_chans=3)
    built.pretrained_cfg |= {"input_size": (3, 64, 64), "crop_pct": 0.875, "exif_orientation": True}
    return load_model(export_timm(built, tmp_path_factory.mktemp("model"), class_names=NAMES))


def ask(address: str, body: bytes) -> tuple[int, object]:
    """The status and the answer to a picture."""
    try:
        with urllib.request.urlopen(f"{address}/predict", data=body, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def server(model, root, tmp_path_factory):
    """The address of the server, which runs as on the page."""
    folder = tmp_path_factory.mktemp("server")
    config = model.pretrained_cfg
    export_onnx(PixelModel(model, config["mean"], config["std"]), folder / "model.onnx")
    program = (root / "docs" / "templates" / "onnx_server.py").read_text(encoding="utf-8")
    (folder / "server.py").write_text(program, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "uvicorn", "server:app", "--port", str(port), "--log-level", "warning"]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(words, cwd=folder, env=os.environ | {"MODEL": "model.onnx"}) as process:
        try:
            until = time.monotonic() + 60
            while not answers(address) and process.poll() is None and time.monotonic() < until:
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()


def answers(address: str) -> bool:
    """Whether the server is there."""
    try:
        urllib.request.urlopen(f"{address}/openapi.json", timeout=5).close()
    except OSError:
        return False
    return True


def encoded(image: Image.Image, **options) -> bytes:
    """A picture as a PNG or JPEG."""
    file = io.BytesIO()
    image.save(file, **({"format": "PNG"} | options))
    return file.getvalue()


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


@pytest.mark.parametrize("size", [(64, 64), (200, 100), (97, 211)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "turned"])
def test_it_answers_as_predict_does(size, mode, server, model):
    image, options = picture(*size), {}
    if mode == "turned":
        image.getexif()[0x0112] = 6
        options = {"exif": image.getexif()}
    elif mode != "RGB":
        image = image.convert(mode)
    options |= {"format": "TIFF"} if mode == "CMYK" else {}
    status, found = ask(server, body := encoded(image, **options))
    assert status == 200
    [expected] = predict(model, Image.open(io.BytesIO(body)))
    assert [name for name, _ in found] == [guess.name for guess in expected.guesses]
    wanted = [guess.probability for guess in expected.guesses]
    assert [share for _, share in found] == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"not a picture",
        encoded(picture(64, 64))[:200],
        encoded(Image.fromarray(np.full((64, 64), 300, dtype=np.uint16))),
    ],
    ids=["nothing", "JSON", "text", "half a picture", "16 bits"],
)
def test_a_wrong_file_gets_422(body, server):
    status, answer = ask(server, body)
    assert status == 422
    assert answer["detail"]
