"""Networks: who hears whom, held as arrays; generated, read from a file, or taken from networkx.

A network is drawn by a generator and a seed, `random_regular(128, 5, seed=7)`, or by the generator's name,
`make_network("random_regular", n_agents=128, seed=7, degree=5)`; or read from a file, `read_network(path)`.
It never changes afterwards.
"""

from agentnet.network.facts import NetworkFacts, facts_of
from agentnet.network.files import read_network, read_node_table
from agentnet.network.generators import (
    GENERATORS,
    barabasi_albert,
    complete,
    erdos_renyi,
    make_network,
    stochastic_block,
)
from agentnet.network.graph import Network
from agentnet.network.regular import random_regular
from agentnet.network.small_world import watts_strogatz

__all__ = [
    "GENERATORS",
    "Network",
    "NetworkFacts",
    "barabasi_albert",
    "complete",
    "erdos_renyi",
    "facts_of",
    "make_network",
    "random_regular",
    "read_network",
    "read_node_table",
    "stochastic_block",
    "watts_strogatz",
]
