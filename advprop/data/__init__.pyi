from .augment import Augment as Augment, AutoAugmented as AutoAugmented
from .batches import (
    Batch as Batch,
    Batches as Batches,
    Data as Data,
    Images as Images,
    ImageSet as ImageSet,
    TensorSet as TensorSet,
    digits as digits,
)
from .image_files import ENDINGS as ENDINGS, READ_ERRORS as READ_ERRORS, read_image as read_image
from .open import open_data as open_data, open_test as open_test
from .worker_processes import batches_of as batches_of
