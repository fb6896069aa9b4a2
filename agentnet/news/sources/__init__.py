"""The bundled news sources, one file each: a file that is added here is found (see `agentnet.plugins`)."""
