import timm
import torch
from PIL import Image
from sklearn.datasets import load_digits

import advprop.models  # brings the weights, for timm to find by name

# Any digit, white on black: Image.open("yours.png").convert("L")
image = Image.fromarray((load_digits().images[0] * 255 / 16).astype("uint8"))

model = timm.create_model("{{ model_name }}", pretrained=True).eval()
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)
with torch.inference_mode():
    logits = model(transform(image).unsqueeze(0))

probability, digit = logits.softmax(dim=1)[0].max(0)
print(f"{probability:.1%} {int(digit)}")
