import torch
from torch.nn.functional import interpolate

from advprop import StandardTask, create_model
from advprop.data import Batches, digits

# Any images and labels of your own; pixels in [0, 1]
batches = Batches(digits(train_images=100).train, batch_size=20, seed=0)

name = "{{ model_name }}"
model = create_model(name, pretrained=True, num_classes=10)
task = StandardTask(model)  # normalises the pixels as the model wants them
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

for epoch in range(1):  # some ten on images of your own
    for images, labels in batches.epoch(epoch):
        images = interpolate(images.expand(-1, 3, -1, -1), size=64)  # were small
        optimizer.zero_grad()
        loss = task(images, labels)["loss"]
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.2f}")

torch.save(model.state_dict(), "finetuned.pt")
