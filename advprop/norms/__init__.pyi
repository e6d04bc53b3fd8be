from .branch import (
    branch_parameters as branch_parameters,
    forget_passes as forget_passes,
    use_branch as use_branch,
)
from .constant import constant_norms as constant_norms
from .repeated import can_checkpoint as can_checkpoint, checkpoint_gradients as checkpoint_gradients
from .route import MAIN as MAIN
from .wrap import (
    add_aux_norm as add_aux_norm,
    branch_names as branch_names,
    remove_aux_norm as remove_aux_norm,
)
