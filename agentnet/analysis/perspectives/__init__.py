"""Perspectives of models: coordinates computed from their replies to fixed prompts, and how they change.

Everything takes arrays and returns arrays or frozen results. Replies come as blocks, one a step, of shape
``(n_models, n_prompts, n_dims)``; rows of tables are models at steps, row r = step * n_models + model.

- `squared_distances`, or `SquaredDistances` while a run goes on: all distances, the replies never all held;
- `classical_scaling` (place new rows by `Scaling.place`, turn a new fit by `align`), or `scale_rows` for rows
  too many for a table;
- `find_clusters`, `iso_mirror`, `polarization`, `gaps`: what the system does, with `bootstrap` intervals;
- `averaged`, `without_noise`: what sampling adds, taken away;
- `change_test`, `control_chart`: whether a model, or the system, changed.
"""

from agentnet.analysis.perspectives.blocks import Averaged, Load, averaged, without_noise
from agentnet.analysis.perspectives.change import ChangeTest, change_test
from agentnet.analysis.perspectives.chart import ChartReading, ControlChart, control_chart
from agentnet.analysis.perspectives.clustering import (
    Clusters,
    adjusted_rand_index,
    beside_own_class,
    find_clusters,
    lead_by_chance,
)
from agentnet.analysis.perspectives.distances import (
    SquaredDistances,
    distances_to,
    moves,
    squared_distances,
    within_steps,
)
from agentnet.analysis.perspectives.mirror import IsoMirror, iso_mirror, step_distances
from agentnet.analysis.perspectives.rows import RowScaling, scale_rows
from agentnet.analysis.perspectives.scaling import Alignment, Placement, Scaling, align, classical_scaling
from agentnet.analysis.perspectives.two_groups import (
    Series,
    axis_weights,
    bootstrap,
    differences,
    gaps,
    polarization,
    prompt_differences,
    prompt_gaps,
)
from agentnet.given import check_public

__all__ = [
    "Alignment",
    "Averaged",
    "ChangeTest",
    "ChartReading",
    "Clusters",
    "ControlChart",
    "IsoMirror",
    "Load",
    "Placement",
    "RowScaling",
    "Scaling",
    "Series",
    "SquaredDistances",
    "adjusted_rand_index",
    "align",
    "averaged",
    "axis_weights",
    "beside_own_class",
    "bootstrap",
    "change_test",
    "classical_scaling",
    "control_chart",
    "differences",
    "distances_to",
    "find_clusters",
    "gaps",
    "iso_mirror",
    "lead_by_chance",
    "moves",
    "polarization",
    "prompt_differences",
    "prompt_gaps",
    "scale_rows",
    "squared_distances",
    "step_distances",
    "within_steps",
    "without_noise",
]

check_public(__name__)
