from advprop import (
    PixelModel,
    create_model,
    evaluate,
    evaluate_corruptions,
    mean_corruption_error,
)
from advprop.data import Batches, digits

model = create_model("{{ model_name }}", pretrained=True)
config = model.pretrained_cfg
pixels = PixelModel(
    model, config["mean"], config["std"]
)  # takes pixels in [0, 1]

# The split that the weights were trained on: they have never seen its test images
data = digits(train_images=500, seed=0)
batches = Batches(data.test, batch_size=500)

clean = evaluate(pixels, batches)
corrupted = evaluate_corruptions(pixels, batches, severities=[3])
accuracy = 1 - mean_corruption_error(corrupted)
print(f"{clean.n} images: {clean.top1:.1%} clean, {accuracy:.1%} corrupted")
