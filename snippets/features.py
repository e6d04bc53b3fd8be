import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from advprop import create_model, create_transform

image = Image.fromarray(load_sample_image("china.jpg"))  # or Image.open("yours.jpg")
pixels = create_transform("{{ model_name }}")(image.convert("RGB")).unsqueeze(0)

vectors = create_model("{{ model_name }}", pretrained=True, num_classes=0).eval()
maps = create_model("{{ model_name }}", pretrained=True, features_only=True).eval()
with torch.inference_mode():
    print("a vector for the image:", tuple(vectors(pixels).shape))
    for level in maps(pixels):
        print("a map of features:", tuple(level.shape))
