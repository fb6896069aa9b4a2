"""Declared answers on their way to servers: told in each backend's form, and read back as declared."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from openai.lib._pydantic import _ensure_strict_json_schema, to_strict_json_schema
from pydantic import BaseModel, Field

from agentnet.backend import Request
from agentnet.prompts.declared import Declared, declared
from agentnet.testing.server import LIKE_VLLM, ServerDouble, start_server
from agentnet_backends.mock import MockBackend
from agentnet_backends.openai import OpenAIBackend
from agentnet_backends.vllm import VllmBackend

WAYS = ("response_format", "structured_outputs", "guided_choice", "grammar")


class Source(BaseModel):
    name: str
    trust: Annotated[float, Field(ge=0.0, le=1.0)]


class Retelling(BaseModel):
    """What is passed on."""

    share: bool
    text: str = Field(max_length=80, description="the news in your own words")
    act: Literal["like", "flag"] = "like"
    main: Source = Field(description="who said so first")
    others: list[Source] = Field(min_length=1, max_length=2)
    doubt: Annotated[int, Field(ge=0, le=10)] | None = None


MODEL = declared(Retelling, decides="share")
CHOICES: tuple[Any, ...] = (Literal["like", 'share, then "like"', "flag it"], Literal[-1, 0, 1])


class Keeping(ServerDouble):
    """Keeps the bodies that it was sent."""

    bodies: tuple[dict[str, Any], ...] = ()

    def _asked(self, raw: bytes) -> Any:
        self.bodies += (json.loads(raw),)
        return super()._asked(raw)


def double(*ways: str, says: Any = None) -> Keeping:
    return Keeping(says or MockBackend(), manners=replace(LIKE_VLLM, constraints=frozenset(ways)))


def asked(form: Declared, server: ServerDouble, backend_of: Any = OpenAIBackend, **options: Any) -> str:
    """Ask a server for one answer by a backend; the prompt ends in the instruction, as experiments do."""

    async def main() -> str:
        async with start_server(server) as started:
            backend = backend_of.from_options(
                {"model": "double", "base_url": started.base_url, **options}, {}
            )
            request = Request(
                (("user", f"The bridge is closed.\n\n{form.instruction}"),),
                max_tokens=400,
                answers=form.answers,
                schema=form.schema,
            )
            try:
                reply = await backend.complete(request)
            finally:
                await backend.aclose()
            text: str = reply.texts[0]
            return text

    return asyncio.run(main())


@pytest.mark.parametrize("form", [declared(choice) for choice in CHOICES])
@pytest.mark.parametrize("way", WAYS)
def test_a_choice_is_told_by_every_way_as_it_is_declared_and_read_back(way: str, form: Declared) -> None:
    server = double(way, says=lambda messages, seed, i: form.answers[1])
    text = asked(form, server, constrain=way)
    assert form.spell(form.read(form.judge(text).value)) == form.answers[1]
    (body,) = server.bodies
    listed = {
        "response_format": lambda: body["response_format"]["json_schema"]["schema"]["properties"]["answer"][
            "enum"
        ],
        "structured_outputs": lambda: body["structured_outputs"]["choice"],
        "guided_choice": lambda: body["guided_choice"],
        "grammar": lambda: [
            json.loads(each) for each in body["grammar"].removeprefix("root ::= ").split(" | ")
        ],
    }[way]()
    assert listed == [*form.answers]


@pytest.mark.parametrize("way", WAYS)
def test_a_model_is_told_as_a_strict_schema_whatever_binds_choices(way: str) -> None:
    server = double("response_format")
    text = asked(MODEL, server, constrain=way)
    assert MODEL.judge(text).problem == ""
    (body,) = server.bodies
    assert MODEL.schema is not None
    told = body["response_format"]["json_schema"]
    assert (told["strict"], told["schema"]) == (True, json.loads(MODEL.schema))


@pytest.mark.parametrize(
    "form", [MODEL, declared(float), declared(list[int]), declared(Annotated[str, Field(max_length=9)])]
)
def test_a_server_of_vllm_is_told_by_what_it_was_found_to_know(form: Declared) -> None:
    server = double("response_format", "structured_outputs")
    assert form.judge(asked(form, server, VllmBackend)).problem == ""
    assert "json_schema" in server.bodies[-1]["response_format"]
    assert "structured_outputs" not in server.bodies[-1]


def test_choices_are_told_to_vllm_as_choices() -> None:
    server = double("response_format", "structured_outputs")
    form = declared(CHOICES[1])
    assert form.judge(asked(form, server, VllmBackend)).problem == ""
    assert server.bodies[-1]["structured_outputs"] == {"choice": ["-1", "0", "1"]}


@pytest.mark.parametrize("backend_of", [OpenAIBackend, VllmBackend])
def test_a_server_that_cannot_be_told_hears_the_instruction_alone(backend_of: Any) -> None:
    said = Retelling(
        share=True,
        text="Closed.",
        act="flag",
        main=Source(name="Ada", trust=1.0),
        others=[Source(name="Bo", trust=0.0)],
    )
    for form, text in ((MODEL, said.model_dump_json()), (declared(CHOICES[1]), "-1")):
        server = double(says=lambda messages, seed, i, text=text: text)
        assert form.judge(asked(form, server, backend_of, constrain="none")).problem == ""
        (body,) = server.bodies
        assert body.keys() & {*WAYS} == set()
        assert body["messages"][-1]["content"].endswith(form.instruction)


def test_the_schema_is_what_openais_own_library_makes_of_the_model() -> None:
    assert MODEL.schema is not None
    ours = json.loads(MODEL.schema)
    assert _ensure_strict_json_schema(json.loads(MODEL.schema), path=(), root={}) == ours
    assert _bare(to_strict_json_schema(Retelling)) == ours


def _bare(node: Any, definitions: Any = None) -> Any:
    """Write definitions where they are used, and drop what only explains."""
    definitions = node.get("$defs") if definitions is None else definitions
    if "$ref" in node:
        return _bare(definitions[node["$ref"].rpartition("/")[2]], definitions)
    made = {key: part for key, part in node.items() if key not in {"$defs", "title", "default", "properties"}}
    if "properties" in node:
        made["properties"] = {name: _bare(part, definitions) for name, part in node["properties"].items()}
    if "items" in node:
        made["items"] = _bare(node["items"], definitions)
    if "anyOf" in node:
        made["anyOf"] = [_bare(each, definitions) for each in node["anyOf"]]
    return made
