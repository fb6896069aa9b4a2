"""A model server that is none: OpenAI's protocol on loopback, answered by a law, with faults on request.

For tests of backends, stacks and whole runs against real sockets. It counts every call that it answers, so
that a test can compare its own count with what a client believes. What it says depends on the request alone;
what goes wrong, on the request, on how often it came before and on the plan (`agentnet.testing.faults`)::

    async with start_server(ServerDouble(law, faults=FaultPlan(rates={"http_500": 0.1}))) as server:
        ...  # server.base_url, server.ledger
"""

from agentnet.testing.server.asks import LIKE_LLAMA_CPP, LIKE_OPENAI, LIKE_VLLM, BadAsk, ChatAsk, Manners
from agentnet.testing.server.completions import Law, MetadataOf
from agentnet.testing.server.double import ServerDouble, coin, serve, start_server
from agentnet.testing.server.ledger import CallLedger, body_digest
from agentnet.testing.server.limits import ServerLimits

__all__ = [
    "LIKE_LLAMA_CPP",
    "LIKE_OPENAI",
    "LIKE_VLLM",
    "BadAsk",
    "CallLedger",
    "ChatAsk",
    "Law",
    "Manners",
    "MetadataOf",
    "ServerDouble",
    "ServerLimits",
    "body_digest",
    "coin",
    "serve",
    "start_server",
]
