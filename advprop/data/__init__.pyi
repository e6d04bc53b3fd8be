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
from .image_files import ENDINGS as ENDINGS, in_channels as in_channels
from .loaded_set import batches_of as batches_of
from .open import open_data as open_data, open_test as open_test
