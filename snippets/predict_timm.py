import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

model = timm.create_model("{{ model_name | timm_name }}", pretrained=True).eval()
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)

image = Image.fromarray(
    load_sample_image("flower.jpg")
)  # or Image.open("yours.jpg").convert("RGB")
with torch.inference_mode():
    probabilities = model(transform(image.convert("RGB")).unsqueeze(0)).softmax(dim=1)[0]

names = timm.data.ImageNetInfo()
top = probabilities.topk(5)
for probability, index in zip(top.values.tolist(), top.indices.tolist(), strict=True):
    print(f"{probability:6.1%}  {names.index_to_description(index)}")
