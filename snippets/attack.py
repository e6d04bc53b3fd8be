import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo

from advprop import PGD, PixelModel, create_model, create_transform

model = create_model("{{ model_name }}", pretrained=True).eval()
mean, std = model.pretrained_cfg["mean"], model.pretrained_cfg["std"]
transform = create_transform(model, mean=(0, 0, 0), std=(1, 1, 1))  # pixels in [0, 1]
classifier = PixelModel(model, mean, std)  # normalises inside, so that eps is in pixels

photos = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
images = torch.stack([transform(photo) for photo in photos])
labels = classifier(images).argmax(dim=1)  # what it says of the clean photos

names = ImageNetInfo()
for eps in (0.5 / 255, 1 / 255, 4 / 255):
    attack = PGD(eps=eps, step_size=eps / 4, steps=5, targeted=None)
    attacked = classifier(attack(classifier, images, labels)).argmax(dim=1)
    held = (attacked == labels).float().mean().item()
    says = ", ".join(names.index_to_description(index).split(",")[0] for index in attacked.tolist())
    print(f"eps {eps * 255:g}/255: {held:.0%} of the answers hold; now {says}")
