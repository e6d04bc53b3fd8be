from .image_rows import plot_images as plot_images
from .plot import plot_runs as plot_runs
from .report_plot import plot_report as plot_report
from .style import (
    BLUE as BLUE,
    GREEN as GREEN,
    GREY as GREY,
    ORANGE as ORANGE,
    PURPLE as PURPLE,
    notebook_style as notebook_style,
)
