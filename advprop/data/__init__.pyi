from .augment import Augment as Augment, AutoAugmented as AutoAugmented, PixelErasing as PixelErasing
from .batches import (
    Batch as Batch,
    Batches as Batches,
    Data as Data,
    Images as Images,
    ImageSet as ImageSet,
    TensorSet as TensorSet,
    digits as digits,
)
from .division import Division as Division, read_division as read_division
from .image_files import (
    ENDINGS as ENDINGS,
    ImageReadError as ImageReadError,
    class_of as class_of,
    printable as printable,
    read_image as read_image,
    reading as reading,
)
from .image_tree import find_image_files as find_image_files
from .in_memory import changes_of_single_images as changes_of_single_images
from .open import open_data as open_data, open_test as open_test
from .part import (
    Part as Part,
    fingerprint as fingerprint,
    name_in as name_in,
    pixels_in as pixels_in,
    some_images as some_images,
)
from .repeats import images_per_epoch as images_per_epoch
from .splits import count_few as count_few, is_undivided as is_undivided
from .timm_loader import create_loader as create_loader
from .worker_processes import batches_of as batches_of
