import onnxruntime
import torch

from advprop import create_model
from advprop.models import data_config

model = create_model("{{ model_name }}", pretrained=True).eval()
images = torch.randn(2, *data_config(model)["input_size"])  # normalised: mean = std = 0.5
batch = torch.export.Dim("batch", min=1, max=1024)
torch.onnx.export(
    model,
    (images,),
    "{{ model_name }}.onnx",
    input_names=["images"],
    output_names=["logits"],
    dynamic_shapes=({0: batch},),
    dynamo=True,
)

session = onnxruntime.InferenceSession("{{ model_name }}.onnx")
[logits] = session.run(None, {"images": images.numpy()})
with torch.inference_mode():
    difference = (torch.from_numpy(logits) - model(images)).abs().max().item()
print(f"largest difference from PyTorch: {difference:.1e}")
