import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo

from advprop import create_model, create_transform

model = create_model("{{ model_name }}", pretrained=True).eval()
transform = create_transform(model)  # the model's own size, crop, mean and std

image = Image.fromarray(
    load_sample_image("flower.jpg")
)  # or Image.open("yours.jpg").convert("RGB")
with torch.inference_mode():
    probabilities = model(transform(image.convert("RGB")).unsqueeze(0)).softmax(dim=1)[0]

names = ImageNetInfo()
top = probabilities.topk(5)
for probability, index in zip(top.values.tolist(), top.indices.tolist(), strict=True):
    print(f"{probability:6.1%}  {names.index_to_description(index)}")
