from .export import export_timm as export_timm
from .exported import describe_export as describe_export, export_run_onnx as export_run_onnx
from .load import load_model as load_model, load_run as load_run, trained as trained
from .onnx_file import Precision as Precision, export_onnx as export_onnx
from .prediction import (
    Guess as Guess,
    Prediction as Prediction,
    find_images as find_images,
    predict as predict,
    prediction_table as prediction_table,
)
from .target import model_and_images as model_and_images
