"""Networks: who hears whom, held as arrays; generated, read from a file, or taken from networkx.

A network is drawn by a generator and a seed, `random_regular(128, 5, seed=7)`, or by the generator's name,
`make_network("random_regular", n_agents=128, seed=7, degree=5)`; or read from a file, `read_network(path)`.
It never changes afterwards: `Network.changed` and its like give another one.
"""

from agentnet.given import check_public
from agentnet.network.edge_values import LAYER
from agentnet.network.facts import NetworkFacts, facts_of
from agentnet.network.format import NETWORK_FORMATS, Opened, network_format, read_network
from agentnet.network.generator import GENERATORS, make_network, network_generator
from agentnet.network.generators.random_graphs import (
    barabasi_albert,
    complete,
    erdos_renyi,
    stochastic_block,
)
from agentnet.network.generators.regular import random_regular
from agentnet.network.generators.small_world import watts_strogatz
from agentnet.network.graph import Network
from agentnet.network.node_tables import read_node_table
from agentnet.network.simple import Edges, edges_of

__all__ = [
    "GENERATORS",
    "LAYER",
    "NETWORK_FORMATS",
    "Edges",
    "Network",
    "NetworkFacts",
    "Opened",
    "barabasi_albert",
    "complete",
    "edges_of",
    "erdos_renyi",
    "facts_of",
    "make_network",
    "network_format",
    "network_generator",
    "random_regular",
    "read_network",
    "read_node_table",
    "stochastic_block",
    "watts_strogatz",
]

check_public(__name__, but=GENERATORS)
