import torch
from PIL import Image
from sklearn.datasets import load_digits

from advprop import create_model, create_transform

# Any digit, white on black: Image.open("yours.png").convert("L")
image = Image.fromarray((load_digits().images[0] * 255 / 16).astype("uint8"))

model = create_model("{{ model_name }}", pretrained=True).eval()
transform = create_transform(model)  # the model's own size, mean and std
with torch.inference_mode():
    logits = model(transform(image).unsqueeze(0))

probability, digit = logits.softmax(dim=1)[0].max(0)
print(f"{probability:.1%} {int(digit)}")
