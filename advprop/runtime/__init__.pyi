from .compile_errors import compiling as compiling
from .distributed import (
    World as World,
    cpu_threads as cpu_threads,
    gpu_kernels as gpu_kernels,
    images_without_padding as images_without_padding,
    join as join,
    rank_and_ranks as rank_and_ranks,
    rank_share as rank_share,
)
from .files import patiently as patiently
from .gradients import is_half as is_half, without_gradients as without_gradients
from .magnitude import largest_magnitude as largest_magnitude
from .memory import (
    OutOfMemory as OutOfMemory,
    is_out_of_memory as is_out_of_memory,
    short_of_memory as short_of_memory,
)
from .messages import (
    brief as brief,
    duration as duration,
    first_of as first_of,
    nearest as nearest,
    shell_word as shell_word,
)
from .optional import MissingExtraError as MissingExtraError, need_extra as need_extra
from .pace import Pace as Pace, Plan as Plan
from .package_files import package_folder as package_folder
from .progress import Progress as Progress
from .randomness import own_randomness as own_randomness, seed_all as seed_all, seed_cpu as seed_cpu
from .signals import Interrupted as Interrupted, Signals as Signals, listening as listening
from .tables import format_table as format_table, shorten as shorten
from .torchrun import NO_JOB as NO_JOB, Job as Job, torchrun_job as torchrun_job
