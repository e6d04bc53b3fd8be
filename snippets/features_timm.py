import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

# Any picture: Image.open("yours.jpg").convert("RGB")
image = Image.fromarray(load_sample_image("china.jpg"))

name = "{{ model_name | timm_name }}"
vectors = timm.create_model(name, pretrained=True, num_classes=0).eval()
maps = timm.create_model(name, pretrained=True, features_only=True).eval()
config = timm.data.resolve_model_data_config(vectors)
pixels = timm.data.create_transform(**config)(image).unsqueeze(0)
with torch.inference_mode():
    print("a vector for the image:", tuple(vectors(pixels).shape))
    for level in maps(pixels):
        print("a map of features:", tuple(level.shape))
