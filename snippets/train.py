import torch
from torch.nn.functional import interpolate

from advprop import PGD, AdvPropTask, create_model, remove_aux_norm
from advprop.data import Batches, digits

# Any images and labels of your own; pixels in [0, 1]
batches = Batches(digits(train_images=100).train, batch_size=20, seed=0)

name = "{{ model_name }}"
model = create_model(name, pretrained=True, num_classes=10)
attack = PGD(eps=1 / 255, step_size=1 / 255, steps=1, targeted="random")
task = AdvPropTask(model, attack)  # adds the auxiliary norms
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

for epoch in range(1):  # some ten on images of your own
    for images, labels in batches.epoch(epoch):
        images = interpolate(images.expand(-1, 3, -1, -1), size=64)  # were small
        optimizer.zero_grad()
        parts = task(images, labels)
        parts["loss"].backward()
        optimizer.step()
    clean, adversarial = parts["loss_clean"].item(), parts["loss_adv"].item()
    print(f"epoch {epoch}: loss {clean:.2f} clean, {adversarial:.2f} attacked")

model = remove_aux_norm(model)  # a plain timm model again
torch.save(model.state_dict(), "trained.pt")
