import torch
from torch.nn.functional import interpolate

from advprop import StandardTask, create_model
from advprop.data import Batches, digits

data = digits(train_images=100)  # or your own: pixels in [0, 1] and labels
model = create_model(
    "{{ model_name }}", pretrained=True, in_chans=1, num_classes=len(data.class_names)
)
task = StandardTask(model)  # normalises the pixels as the model wants them
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

for epoch in range(1):  # a handful on images of your own
    for images, labels in Batches(data.train, batch_size=20, seed=0).epoch(epoch):
        optimizer.zero_grad()
        parts = task(interpolate(images, size=64, mode="bicubic").clamp(0, 1), labels)
        parts["loss"].backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {parts['loss'].item():.2f}")

torch.save(model.state_dict(), "finetuned.pt")
