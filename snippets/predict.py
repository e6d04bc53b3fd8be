import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo

from advprop import create_model, create_transform

# Any picture: Image.open("yours.jpg").convert("RGB")
image = Image.fromarray(load_sample_image("flower.jpg"))

model = create_model("{{ model_name }}", pretrained=True).eval()
transform = create_transform(model)  # the model's own size, crop, mean and std
with torch.inference_mode():
    logits = model(transform(image).unsqueeze(0))

names = ImageNetInfo()
probabilities, indices = logits.softmax(dim=1)[0].topk(5)
for probability, index in zip(probabilities, indices, strict=True):
    print(f"{probability:6.1%}  {names.index_to_description(int(index))}")
