"""Released systems whose checkpoints are known; another is a file here and a line below."""

from .cross_scale_mae import CROSS_SCALE_MAE
from .family import Family
from .local_mim import LOCAL_MIM
from .local_mim_swin import LOCAL_MIM_SWIN
from .mae import MAE
from .satmae import SATMAE_GROUP, SATMAE_TEMPORAL
from .scale_mae import SCALE_MAE

#: The first that recognises a checkpoint takes it; MAE, whose names others share, comes last.
FAMILIES: tuple[Family, ...] = (
    SCALE_MAE,
    LOCAL_MIM_SWIN,
    LOCAL_MIM,
    SATMAE_GROUP,
    SATMAE_TEMPORAL,
    CROSS_SCALE_MAE,
    MAE,
)
