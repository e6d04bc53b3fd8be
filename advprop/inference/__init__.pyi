from .export import describe_export as describe_export, export_onnx as export_onnx, export_timm as export_timm
from .load import load_model as load_model, load_run as load_run, trained as trained
from .prediction import (
    Guess as Guess,
    Prediction as Prediction,
    find_images as find_images,
    predict as predict,
    prediction_table as prediction_table,
)
from .target import model_and_images as model_and_images
