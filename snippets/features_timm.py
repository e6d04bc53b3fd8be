import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

name = "{{ model_name | timm_name }}"
vectors = timm.create_model(name, pretrained=True, num_classes=0).eval()
maps = timm.create_model(name, pretrained=True, features_only=True).eval()
config = timm.data.resolve_model_data_config(vectors)
transform = timm.data.create_transform(**config, is_training=False)

image = Image.fromarray(load_sample_image("china.jpg"))  # or Image.open("yours.jpg")
pixels = transform(image.convert("RGB")).unsqueeze(0)
with torch.inference_mode():
    print("a vector for the image:", tuple(vectors(pixels).shape))
    for level in maps(pixels):
        print("a map of features:", tuple(level.shape))
