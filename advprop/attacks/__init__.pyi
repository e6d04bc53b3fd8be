from .ball import PerChannel as PerChannel
from .mode import in_mode as in_mode
from .objective import (
    HALF_SCALE as HALF_SCALE,
    check_classes as check_classes,
    check_finite as check_finite,
    finite_images as finite_images,
    is_half as is_half,
)
from .pgd import FGSM as FGSM, GD as GD, IFGSM as IFGSM, PGD as PGD
from .pixel_model import PixelModel as PixelModel, without_ddp as without_ddp
from .pixels import check_pixels as check_pixels, for_channels as for_channels
