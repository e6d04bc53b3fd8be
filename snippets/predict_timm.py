import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

# Any picture: Image.open("yours.jpg").convert("RGB")
image = Image.fromarray(load_sample_image("flower.jpg"))

model = timm.create_model("{{ model_name | timm_name }}", pretrained=True).eval()
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)
with torch.inference_mode():
    logits = model(transform(image).unsqueeze(0))

names = timm.data.ImageNetInfo()
probabilities, indices = logits.softmax(dim=1)[0].topk(5)
for probability, index in zip(probabilities, indices, strict=True):
    print(f"{probability:6.1%}  {names.index_to_description(int(index))}")
