import torch

from advprop import PGD, AdvPropTask, create_model, remove_aux_norm
from advprop.data import Batches, digits

torch.manual_seed(0)
data = digits()  # pixels in [0, 1] and labels; bring your own in their place
batches = Batches(data.train, batch_size=50, seed=0)
model = create_model("advprop_convnet")
attack = PGD(eps=0.2, step_size=0.1, steps=2, targeted="random")
task = AdvPropTask(model, attack)  # adds norms
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

for epoch in range(10):
    for images, labels in batches.epoch(epoch):
        optimizer.zero_grad()
        parts = task(images, labels)  # attack, one forward pass, both losses
        parts["loss"].backward()
        optimizer.step()

model = remove_aux_norm(model).eval()  # timm's own model again
images, labels = next(Batches(data.test, batch_size=len(data.test)).epoch(0))
accuracy = (model(images).argmax(1) == labels).float().mean()
print(f"{accuracy:.1%} of {len(labels)} test digits read rightly")
