import onnxruntime
import torch

from advprop import create_model

model = create_model("{{ model_name }}", pretrained=True).eval()
images = torch.randn(2, *model.pretrained_cfg["input_size"])  # normalised
torch.onnx.export(
    model,
    (images,),
    "model.onnx",
    input_names=["images"],
    output_names=["logits"],
    dynamic_shapes=({0: torch.export.Dim("batch")},),
    dynamo=True,
)

session = onnxruntime.InferenceSession("model.onnx")
[logits] = session.run(None, {"images": images.numpy()})
with torch.inference_mode():
    difference = (torch.from_numpy(logits) - model(images)).abs().max().item()
print(f"model.onnx differs from PyTorch by {difference:.1e} at most")
