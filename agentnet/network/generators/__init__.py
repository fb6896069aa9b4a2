"""The bundled generators: a file that is added here is found (see `agentnet.plugins`)."""
