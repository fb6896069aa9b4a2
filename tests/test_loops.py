"""Runs are played in uvloop's event loop where that is installed, and in asyncio's where not."""

from __future__ import annotations

import asyncio
import sys

import pytest

from agentnet.cli.loops import in_loop


async def loop_module():
    return type(asyncio.get_running_loop()).__module__


def test_where_uvloop_is_installed_its_loop_is_taken():
    pytest.importorskip("uvloop")
    assert in_loop(loop_module()) == "uvloop"


def test_without_uvloop_the_loop_is_asyncios(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert in_loop(loop_module()) == "asyncio.unix_events"
