"""Ranks whose folders differ refuse to train: they would number the classes otherwise."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

WORDS = [
    *("train", "--data", "pics", "--out", "run", "--model", "advprop_convnet", "--channels", "1"),
    *("--image-size", "8", "--epochs", "1", "--batch-size", "20", "--workers", "0", "--device", "cpu"),
    *("--severities", "none", "--warmup-epochs", "0", "--scale", "none", "--method", "standard"),
]


def rename_class(folder):
    for split in ("train", "validation"):
        (folder / split / "zero").rename(folder / split / "nought")


def swap_two(folder):
    one, two = folder / "train" / "one" / "0.png", folder / "train" / "two" / "0.png"
    one.rename(folder / "x.png")
    two.rename(one.with_name("1000.png"))
    (folder / "x.png").rename(two.with_name("1000.png"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_class, r"5 classes \(four, one, three, two, zero\)"),
        (swap_two, "as many others on rank 1"),
    ],
)
def test_ranks_with_other_data_refuse(change, message, digit_folders, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = []
    for rank in range(2):
        place = tmp_path / f"node{rank}"
        shutil.copytree(digit_folders, place / "pics")
        if rank:
            change(place / "pics")
        env = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": 2,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        ranks.append(
            subprocess.Popen(
                [sys.executable, "-m", "advprop", *WORDS],
                cwd=place,
                env=os.environ | {name: str(value) for name, value in env.items()},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    said = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [2, 2]
    assert "all ranks must have the same data" in said[0]
    assert message.replace("\\", "") in said[0]
    assert said[1] == ""
    assert not (tmp_path / "node0" / "run").exists()
