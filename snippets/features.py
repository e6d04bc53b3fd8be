import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from advprop import create_model, create_transform

# Any picture: Image.open("yours.jpg").convert("RGB")
image = Image.fromarray(load_sample_image("china.jpg"))

name = "{{ model_name }}"
vectors = create_model(name, pretrained=True, num_classes=0).eval()
maps = create_model(name, pretrained=True, features_only=True).eval()
pixels = create_transform(vectors)(image).unsqueeze(0)
with torch.inference_mode():
    print("a vector for the image:", tuple(vectors(pixels).shape))
    for level in maps(pixels):
        print("a map of features:", tuple(level.shape))
