"""Put load on a backend and measure it: how fast decisions come, how long they take, what they cost.

A closed loop keeps a number of requests in flight; an open rate sends them at times of its own, as a crowd
would, whether the backend keeps up or not; a sweep doubles the requests in flight and finds the knee.
"""

from agentnet.bench.figures import Figures, Latency, Price, measure
from agentnet.bench.load import Bound, Call, MeasuredLoad, closed_loop, open_rate
from agentnet.bench.occupancy import Occupancy, Timed, occupancy
from agentnet.bench.questions import exposure_requests
from agentnet.bench.sweep import knee, sweep_load

__all__ = [
    "Bound",
    "Call",
    "Figures",
    "Latency",
    "MeasuredLoad",
    "Occupancy",
    "Price",
    "Timed",
    "closed_loop",
    "exposure_requests",
    "knee",
    "measure",
    "occupancy",
    "open_rate",
    "sweep_load",
]
