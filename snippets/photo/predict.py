from PIL import Image
from sklearn.datasets import load_sample_image

from advprop import create_model, predict

# Any pictures: predict takes paths of image files, too
files = ("china.jpg", "flower.jpg")
photos = [Image.fromarray(load_sample_image(file)) for file in files]

model = create_model("{{ model_name }}", pretrained=True)
for file, prediction in zip(files, predict(model, photos, top=3), strict=True):
    for guess in prediction.guesses:
        print(f"{file:12}  {guess.probability:6.1%}  {guess.name}")
