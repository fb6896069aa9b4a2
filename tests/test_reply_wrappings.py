"""Realistic replies in their wrappings, thoughts, turn marks, boxes, elements: none is read wrongly."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.prompts import after_thought, parse_reply

YES = [
    "Yes<|im_end|>",
    "Yes<|eot_id|>",
    "Yes.</s>",
    "Yes<end_of_turn>",
    "Yes<|endoftext|>",
    "Yes<|end|>",
    "Yes<｜end▁of▁sentence｜>",
    "<|im_start|>assistant\nYes<|im_end|>",
    "<|start_header_id|>assistant<|end_header_id|>\n\nYes<|eot_id|>",
    "Yes<|im_end|>\n<|im_start|>user\nWould you share this?<|im_end|>\n<|im_start|>assistant\nNo",
    '{"share": true, "reason": "It matters."}<|im_end|>',
    '{"share": true, "reason": "It matters."}</s><s>[INST] And this one? [/INST] {"share": false}',
    "[/INST] Yes",
    "<start_of_turn>model\nYes<end_of_turn>",
    "Yes [/INST]",
    "Yes<eos>",
    "\\boxed{yes}",
    "\\boxed{\\text{Yes}}",
    "$\\boxed{\\textbf{Yes}}$",
    "The final answer is \\boxed{yes}.",
    "Therefore, the answer is:\n\n$$\n\\boxed{\\text{yes}}\n$$",
    "I think it matters.\n\n\\boxed{true}",
    "\\[\\boxed{Yes}\\]",
    "**Final Answer**\n\\boxed{\\mathrm{Yes}}",
    "{“share”: true, “reason”: “It matters.”}",
    "{“share”: “yes”}",
    "{„share“: true}",
    "{«share»: true}",
    "```json\n{“share”: true, “reason”: “It’s peaceful.”}\n```",
    "{‘share’: true, ‘reason’: ‘It matters’}",
    "{“share”： true，“reason”：“ok”}",
    'Here you go:\n\n```json\n{"share": true, "reason": "x"}\n```\n\nLet me know!',
    '~~~json\n{"share": true}\n~~~',
    "```JSON5\n{share: true, reason: 'x',}\n```",
    '`{"share": true}`',
    '\'{"share": true, "reason": "x"}\'',
    '"{\\"share\\": true}"',
    '{"response": "{\\"share\\": true, \\"reason\\": \\"x\\"}"}',
    '{"response": {"share": true, "reason": "x"}}',
    '{"output": {"share": "yes"}}',
    '{"result": [{"share": true}]}',
    '{"name": "answer", "arguments": {"share": true, "reason": "x"}}',
    '<tool_call>\n{"name": "decide", "arguments": {"share": true}}\n</tool_call>',
    '{"name": "decide", "parameters": {"share": true}}',
    '{"tool_calls": [{"function": {"name": "f", "arguments": "{\\"share\\": true}"}}]}',
    '{"final_answer": {"share": true}}',
    '[TOOL_CALLS] [{"name": "share", "arguments": {"share": true}}]',
    '{"data": {"share": true}}',
    '{"json": {"share": true, "reason": "a"}}',
    '{"properties": {"share": true, "reason": "It matters."}}',
    "<answer>yes</answer>",
    "<share>true</share>",
    "<share>true</share>\n<reason>It matters.</reason>",
    "<response><share>yes</share><reason>It is not violent.</reason></response>",
    "<decision>Yes</decision><rationale>no violence here</rationale>",
    "<reason>I would not share violent news, but this is peaceful.</reason>\n<share>true</share>",
    "<xml><answer>Yes</answer></xml>",
    '<answer value="yes"/>',
    "<final_answer>Yes</final_answer>",
    '<output>{"share": true}</output>',
    "<answer>\nYes\n</answer><|im_end|>",
    "<Answer>TRUE</Answer>",
    '{"share": true,\n "reason": "x",\n}',
    "{'share': True, 'reason': 'it\\'s good'}",
    "{share: true}",
    '{"share": "true", "reason": "x"',
    '// my answer\n{"share": true}',
    '{\n  // decision\n  "share": true\n}',
    "Yes\x00",
    "\x00Yes",
    "Yes\x00\x00\x00",
    '{"share": true, "reason": "a\x00b"}',
    '{"sh\x00are": true}',
    "<think>No? I would not share.</think>Yes",
    "I would say no.\n</think>\n\nYes",
    'Drafting {"share": false}\n</think>\n{"share": true}',
    '[THINK]no, {"share": false}[/THINK]Yes',
    "<thinking>No</thinking>\n\nYes",
    "<thought>\nNo\n</thought>Yes",
    "<|channel|>analysis<|message|>No.<|end|><|start|>assistant<|channel|>final<|message|>Yes<|return|>",
    "analysisThe user asks. No.assistantfinalYes",
    "◁think▷no◁/think▷Yes",
    "<|begin_of_thought|>No.<|end_of_thought|><|begin_of_solution|>Yes<|end_of_solution|>",
    "<|START_THINKING|>No<|END_THINKING|><|START_RESPONSE|>Yes<|END_RESPONSE|>",
    "<seed:think>no</seed:think>Yes",
    "<reasoning>I would not.</reasoning><answer>Yes</answer>",
    "<think>\n\n</think>\n\nYes",
    '<think>{"share": false}</think>{"share": true}',
    "Yes ✅",
    "**Share:** true",
    "- **share**: true\n- **reason**: it matters",
    "share = true",
    "### Answer\nYes",
    "Answer:\n\nYes",
    "**Decision: Yes**",
    "Final Answer: **Yes**",
    "> Yes",
    "\u3000Yes",
    "Yes。",
    "**share:** true  \n**reason:** It matters.",
]
NO = [
    "<answer id='1'>no</answer>",
    "<s>No</s>",
    "<s>[INST] q [/INST] No</s>",
    "No<|im_end|>",
    "\\boxed{no}",
    "\\boxed{\\text{No}}",
    "<share>false</share>",
    "{“share”: false, “reason”: “Too sad.”}",
    '{"response": {"share": false}}',
    "<think>Yes</think>No",
    "I would share it. Yes.\n</think>\n\nNo",
    "<answer>No</answer> <|eot_id|>",
    "<decision>do not share</decision>",
    "No\x00",
    '{"name": "decide", "arguments": {"share": false}}',
    "<|channel|>final<|message|>No",
    "[INST] x [/INST] No",
    "<reason>I like to share.</reason><share>false</share>",
    'First I would say {"share": true, "reason": "It matters."} but wait.\n</think>\n\n{"share": false}',
    "<answer>I would not share this.</answer>",
    '{"share": false, "reason": "“Too” much"}',
    "<share>no</share>",
    "```\n{“share”: false}\n```",
    "**Share:** No",
]
UNUSABLE = [
    "<s>Yes</s> No",
    "<s>Yes</s> I would not share this",
    '<answer id="1"></answer>',
    '<answer id="1">no</answer> yes',
    "Yes \\boxed{no}",
    "<reasoning>Yes, I would share it",
    "№ 1",
    "\\boxed{maybe}",
    "\\boxed{yes} or \\boxed{no}",
    "\\boxed{}",
    "\\boxed{yes/no}",
    "I would not share this. \\boxed{yes}",
    "\\boxed{\\text{Yes or No}}",
    "\\boxed{yes",
    "<share>true</share><share>false</share>",
    "<answer>yes or no</answer>",
    "<answer></answer>",
    "<share>true|false</share>",
    "<answer>yes</answer> but I would not share it",
    "<share>",
    "<think>I would say yes",
    "<think>Yes.</think>",
    "<think>Yes",
    "Yes, I think.\n</think>\n",
    "[THINK]Yes",
    "<|channel|>analysis<|message|>Yes, I would share this.",
    '<|channel|>analysis<|message|>{"share": true}<|end|>',
    "analysisYes I would share it",
    "<thinking>Yes",
    "◁think▷yes",
    "<reasoning>Yes</reasoning>",
    "<|START_THINKING|>Yes",
    "Yes <think>or rather no",
    '{"example": {"share": true}}',
    '{"share": {"value": true}}',
    '{"type": "object", "properties": {"share": {"type": "boolean"}}}',
    '{"response": {"share": true}, "output": {"share": false}}',
    '{"if_peaceful": {"share": true}}',
    '{"properties": {"share": {"type": "boolean", "default": true}}}',
    '{"response": "{\\"share\\": tr"}',
    '{"name": "share", "arguments": {}}',
    '{"response": {}}',
    '{"neighbor": {"share": true}}',
    '{"response": "I might share"}',
    "{“share”: “maybe”}",
    "{“share”: true or false}",
    "{“share”: tru",
    "Oui",
    "Sí",
    "Ja",
    "Ja, ich würde das teilen.",
    "Nein",
    "はい",
    "いいえ",
    "是",
    "不",
    "Да",
    "Нет",
    "نعم",
    "لا",
    "네",
    "아니요",
    "Sim",
    "Não, eu não compartilharia.",
    "No lo compartiría.",
    "Non",
    "Oui, je partagerais",
    "Nej",
    "Tak",
    "Evet",
    "Hayır",
    "हाँ",
    "Sì, lo condividerei",
    "Si",
    "No sé",
    "No estoy seguro",
    "No sabría decir si lo compartiría",
    "Naja",
    "Nope? Yes?",
    "NaN",
    "Yeś?",
    '{"share": "sí"}',
    '{"share": "ja"}',
    "<answer>oui</answer>",
    "\\boxed{oui}",
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "</s>",
    "\x00",
    "\x00\x00",
    "[/INST]",
    "<|im_start|>user\nYes<|im_end|>",
    "<|im_end|>\n<|im_start|>user\nYes",
    "| yes | no |",
    "Share: true/false",
    "share: [true/false]",
    "Answer: [yes/no]",
    "Answer: <yes or no>",
    '{{"share": "{yes|no}"}}',
    '```json\n{"share": <bool>}\n```',
    "<share>{true|false}</share>",
    "\\boxed{\\text{[yes/no]}}",
    '<answer value="yes"/><answer value="no"/>',
    "The options are <answer>yes</answer> and <answer>no</answer>.",
    "<answer>yes</answer><answer>no</answer>",
    "<|channel|>final<|message|>",
    "yesno",
    "Yes No",
    "true false",
    "Ye",
    "N",
    "[answer]yes[/answer]",
    '{"share" = true}',
    '{"share": true /* yes */, "reason": "x"}',
    '{"share": true; "reason": "x"}',
    "| share | reason |\n|---|---|\n| true | it matters |",
]


@pytest.mark.parametrize("text", YES)
def test_a_wrapped_yes_is_a_yes(text):
    assert parse_reply(text).decision is True


@pytest.mark.parametrize("text", NO)
def test_a_wrapped_no_is_a_no(text):
    assert parse_reply(text).decision is False


@pytest.mark.parametrize("text", UNUSABLE)
def test_what_is_a_draft_an_option_or_no_english_is_no_decision(text):
    verdict = parse_reply(text)
    assert (verdict.decision, bool(verdict.problem)) == (None, True)


ENDS = [
    "</think>",
    "</thinking>",
    "</thought>",
    "[/THINK]",
    "<|end_of_thought|>",
    "<|channel|>final<|message|>",
]
DRAFTS = [
    "Yes",
    "No",
    '{"share": true}',
    '{"share": false, "reason": "x"}',
    "I would share this.",
    "\n",
    " hm ",
]


@given(st.lists(st.sampled_from(DRAFTS + ENDS)), st.sampled_from(ENDS), st.booleans())
def test_no_draft_within_a_thought_counts(thought, end, final):
    answer = f'{{"share": {str(final).lower()}}}'
    assert parse_reply("".join([*thought, end, answer])).decision is final


@given(
    st.sampled_from(["<think>", "[THINK]", "<thought>", "<|channel|>analysis<|message|>"]),
    st.lists(st.sampled_from(DRAFTS)),
)
def test_a_thought_that_never_ends_is_no_answer(begin, drafts):
    assert parse_reply(begin + " ".join(drafts)).problem == "no_answer"


@given(st.text(max_size=60))
def test_a_text_without_a_thought_stays_as_it_is(text):
    assert after_thought(text.replace("<", "").replace("[", "").replace("\u25c1", "")) in (
        text.replace("<", "").replace("[", "").replace("\u25c1", ""),
        "",
    )


def test_a_mark_within_an_object_is_text():
    text = 'Here: {"share": true, "reason": "they write </think> and <|im_end|> and <answer>no</answer>"}'
    assert parse_reply(text).decision is True
    assert after_thought(text) == text


def test_the_rationale_of_an_element_is_in_the_reason_or_in_what_stands_beside_it():
    assert parse_reply("<share>no</share><reason> Too sad. </reason>").rationale == "Too sad."
    assert parse_reply("<answer>yes</answer> since it is near").rationale == "since it is near"
    assert parse_reply('{"response": {"share": true, "reason": "near"}}').rationale == "near"


BOMBS = [
    "<answer>{",
    "<answer>",
    "\\boxed{",
    "<reason>",
    "<think>",
    "</think>",
    "</s>",
    "[INST]",
    "{\u201c",
    "\\$ ",
]


@pytest.mark.parametrize("part", BOMBS)
def test_no_text_takes_more_than_proportional_time(part):
    def took_s(n):
        started = time.process_time()
        parse_reply(part * n)
        return time.process_time() - started

    # Ten times the text: a quadratic search takes a hundred times as long.
    assert took_s(40_000) < 40 * took_s(4_000) + 0.5


@pytest.mark.parametrize(
    "after",
    [
        "But actually I would not share it.",
        "On second thought, no.",
        "Correction: no.",
        "Hmm, let me not share that.",
        "Upon reflection, it is better left alone.",
        "Wait. The tone is wrong.",
        "I have changed my mind.",
    ],
)
def test_who_goes_back_upon_a_yes_has_not_decided(after):
    for text in (
        f'{{"share": true, "reason": "It matters."}} {after}',
        f'```json\n{{"share": true}}\n```\n{after}',
    ):
        assert parse_reply(text).problem == "ambiguous"
    assert parse_reply(json.dumps({"share": True, "reason": after})).decision is True


@pytest.mark.parametrize(
    "beside", ["I hope this helps!", "It matters to my neighbours.", "I would share it."]
)
def test_prose_beside_a_yes_that_does_not_go_back_upon_it_takes_nothing_away(beside):
    assert parse_reply(f'{beside}\n{{"share": true, "reason": "So."}}\n{beside}').decision is True
