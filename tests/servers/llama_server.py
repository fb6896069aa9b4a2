"""llama.cpp's server in this process, by the package xllamacpp, on loopback, until it is killed.

``python llama_server.py MODEL.gguf PORT SLOTS``
"""

from __future__ import annotations

import signal
import sys


def serve(path: str, port: int, n_slots: int) -> None:
    """Serve a model; each slot has a context of 1,024 tokens."""
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path, params.port, params.n_parallel = path, port, n_slots
    params.n_ctx = 1024 * n_slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
