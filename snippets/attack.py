import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo

from advprop import PGD, PixelModel, create_model, create_transform

# Any pictures: Image.open("yours.jpg").convert("RGB")
files = ("china.jpg", "flower.jpg")
photos = [Image.fromarray(load_sample_image(file)) for file in files]

model = create_model("{{ model_name }}", pretrained=True).eval()
mean, std = model.pretrained_cfg["mean"], model.pretrained_cfg["std"]
classifier = PixelModel(model, mean, std)  # normalizes inside: eps is in pixels
to_pixels = create_transform(model, mean=(0, 0, 0), std=(1, 1, 1))  # to [0, 1]
images = torch.stack([to_pixels(photo) for photo in photos])
labels = classifier(images).argmax(dim=1)  # what it says of the clean photos

torch.manual_seed(0)  # an attack starts at a random point of its box
names = ImageNetInfo()
for levels in (0.5, 1, 4):  # gray levels out of 255
    attack = PGD(eps=levels / 255, step_size=levels / 1020, targeted=None)
    attacked = attack(classifier, images, labels)
    answers = classifier(attacked).argmax(dim=1)
    held = (answers == labels).float().mean().item()
    print(f"eps {levels}/255: {held:.0%} of the answers hold")
    for pair in zip(labels.tolist(), answers.tolist(), strict=True):
        print("  ", " -> ".join(map(names.index_to_description, pair)))
