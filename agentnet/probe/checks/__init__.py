"""The checks of a probe, a file each; see `agentnet.probe.contract`."""
