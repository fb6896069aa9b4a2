"""What replies mean: a table of realistic ones, and properties that hold for any text."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentnet.prompts import PROBLEMS, Verdict, parse_reply, well_formed

PROSE_YES = [
    "Yes",
    "yes",
    "**Yes**",
    "  YES!  ",
    '"Yes."',
    "Yes\n",
    "(Yes)",
    "✅ Yes",
    "Yes 👍",
    "```\nyes\n```",
    "Yes...",
    "Yes…",
    "Yeah",
    "True",
    "Absolutely!",
    "Yes, please.",
    "YES - because it matters to my followers.",
    "YES—because it matters.",
    "Yes – it is peaceful",
    "Yes, I would share this because it concerns us all.",
    "Yes I would share this.",
    "Yes: it matters",
    "Hmm, yes.",
    "Yes.\n\nReason: It raises awareness.",
    "Answer: yes",
    "**Answer:** Yes",
    'My answer is "yes".',
    "Share: yes\nReason: it is important",
    "share: true\nreason: it is important",
    "Would I share this news? Yes.",
    "Decision: Share",
    "I say yes.",
    "So my answer would be yes.",
    "It is a peaceful protest and people should know.\n\nYes",
    "I would share this.",
    "I would share this news with my online followers.",
    "I'd share it.",
    "I've decided to share it.",
    "I am happy to share this peaceful news with my neighbours.",
    "I feel compelled to share this with my followers, since it matters.",
    "As an open person I would share this news.",
    "I am curious so I would share this news",
    "Share.",
    "Share this",
    "I will pass it on to my friends.",
    "No doubt I would share this.",
    "No problem, I would share it.",
    "Yes, I wouldn't hesitate to share this news.",
    "Yes, no doubt about it.",
    "Yes, because there was no violence.",
    "Yes, I would share this because people want to know if their area is safe.",
    "Yes, even if it upsets people.",
    "true",
    "\ufeffYes",
    "In my opinion, yes.",
    "Thus, my decision: yes.",
    "It matters to everyone here, so yes.",
    "<answer>yes</answer>",
    "Decision: Yes (share)",
    "I share this news with my neighbours.",
    "I want everyone to know, so I would share it.",
    "I would share this even though it is sad.",
    "I would share",
    "I would share with my neighbors.",
    "Yes. If we don't share this, who will?",
    "Based on my personality, I'm willing to share this news with my online followers.",
]
PROSE_NO = [
    "No",
    "no.",
    "“No”",
    "`no`",
    "[No]",
    "```text\nno\n```",
    "Nope.",
    "false.",
    "Definitely not.",
    "Of course not",
    "Never.",
    "No thanks.",
    "No, thank you.",
    "No I wouldn't.",
    "No, I won't share",
    "No, I won’t share this.",
    "No because it is too violent",
    "No; it would upset people.",
    "Well, no.",
    "Honestly, no. It's not my thing.",
    "Sorry, no.",
    "Decision: No",
    "**Decision**: No, it is too graphic.",
    "My answer is no.",
    "The answer is: No",
    "Final answer - no",
    "Share? No.",
    "Decision: do not share",
    "My decision is not to share it.",
    "I'd say no.",
    "Considering my personality, this matters to me.\n\nAnswer: No",
    "I would not share this.",
    "I wouldn't share this with my neighbors.",
    "I will not share this news because it is violent.",
    "I do not want to share this news.",
    "I don't think I would share this.",
    "I have decided not to share this news.",
    "I'd rather not share this.",
    "I choose not to share.",
    "I would avoid sharing this.",
    "I refuse to share it.",
    "As someone who values calm, I would not share this.",
    "I see no reason to share this.",
    "I don't feel comfortable sharing this.",
    "I have no intention of sharing this news.",
    "This worries me, so I won't share it.",
    "That is why I would not share this news.",
    "Do not share.",
    "Not sharing this.",
    "Would not share. Too violent.",
    "I'd rather not.",
    "I don't think so.",
    "I would not.",
    "I dont want to share this",
    "I'm not sure this is true, so I would not share it.",
    "No. Nobody needs this.",
    "I won't spread this news.",
    "\u200bno",
    "I vote no.",
    "<b>No</b>",
    "I wouldn't want my neighbors to be upset, so no.",
    "I would not share this with anyone.",
    "I would not want to share this type of violent news.",
    "Given my high neuroticism, I would not feel comfortable sharing this news with my neighbors.",
    "No, it's not something I would share.",
    "I'm not interested in sharing this.",
    "No. If I share it, people get upset.",
    "Final decision: I will not share.",
    "I don't feel like it, that's why I won't share it.",
]
JSON_YES = [
    '{"share": true, "reason": "It matters."}',
    '{"reason": "It matters.", "share": true}',
    '{"share": "yes"}',
    '{"share": 1}',
    '{"Share": "YES"}',
    '{"SHARE": TRUE}',
    '{"share": true, "reason": "x",}',
    "{'share': True, 'reason': 'It matters'}",
    '```json\n{"share": true, "reason": "x"}\n```',
    'Here is my answer: {"share": true, "reason": "x"}',
    'Sure!\n```json\n{"share": true,\n "reason": "a\nb"}\n```\nLet me know.',
    '[{"share": true}]',
    '{"decision": "share"}',
    '{"share": "true"}',
    '"{\\"share\\": true, \\"reason\\": \\"x\\"}"',
    '"share": true, "reason": "x"}',
    '{"share": true, "reason": "I thi',
    '{"share": true, "rea',
    '{"share": true, "reason": "I would not share this"}',
    '{"share": true, "Share": true}',
    "Let me think. Yes?\n</think>\nYes",
    '{"share": true, "reason": "</think> no"}',
    'Here: {"share": true, "reason": "</think> no"}',
]
JSON_NO = [
    '{"share": false, "reason": "Too violent."}',
    '{"share": "No."}',
    '{"share": 0, "reason": "x"}',
    '{share: false, reason: "no"}',
    '```\n{"share": false}\n```',
    '{"share": false, "reason": "x"}\nI hope this helps!',
    '{"answer": "no"}',
    '{"decision": "do not share"}',
    '{"share": false',
    '{"share": "no", "reason": "The "news" is bad"}',
    '{"share": false}{"share": false}',
    'No. {"share": false}',
    "<think>Hmm, yes? No, too violent.</think>\n\nNo",
    '<think>I would share it.</think>{"share": false}',
]
UNUSABLE = {
    "ambiguous": [
        "Not sure",
        "Not sure.",
        "I don't think I would not share this.",
        "I wouldn't not share it.",
        "I see no reason not to share this.",
        "I would not refuse to share it.",
        "Yes and no.",
        "Yes or no",
        "Yes/No",
        "yes, no",
        "No, wait, yes.",
        "No, I would share this.",
        "Yes, but I will not share it.",
        "Yes, it is important, but in the end I won't share it.",
        "Yes. On second thought: no.",
        "Answer: yes\nAnswer: no",
        "Yes\nNo",
        "Maybe",
        "Maybe yes.",
        "Perhaps.",
        "It depends.",
        "Probably not.",
        "I might share this.",
        "Yes, I might share it.",
        "I could share this news.",
        "I would probably share this.",
        "I would share this if it were verified.",
        "If it were verified, I would share this.",
        "I would share this, but only with friends.",
        "I would love to share this but it is too risky.",
        "I would share it with no one.",
        "I would not share this unless it is verified.",
        "I cannot share this.",
        "I'm not sure if I would share this.",
        "I am unsure whether to share it.",
        "I don't know.",
        "Yes, maybe.",
        "Yes, if it is true.",
        "Yes. Let's not share this.",
        "Either answer is fine: yes or no.",
        "I would share this. I would not share this.",
        '{"share": true, "share": false}',
        '{"share": true, "answer": "no"}',
        '{"share": true}\n{"share": false}',
        '{"share": false, "reason": "x"} Yes, I would share it.',
        'Yes, I would share this. {"share": false}',
        '{"share": true, "reason": "x"}\nActually, I would not share this.',
        '{"share": true, "x": }{"share": false, "x": }',
        "Yes, but no.",
        "Yes. Not sharing this.",
        "No. Share it.",
        "False.\nYes",
        "Would I not share this? Yes.",
        "To share or not to share? No.",
        "I would share this. However, since it is unverified I'll hold back.",
        "Answer: Yes, if verified",
        "Yes, I'd keep this to myself.",
        "I would like to share this; however, I won't.",
        "Yes, with close friends only.",
        "Yes, I would share this with my followers, but only if it is verified.",
        "Yes, I would share it with my followers, unless it is false.",
        "Yes. People know I would not share it.",
        "No and yes.",
        "This is hard, I'm torn.",
        "I see value in sharing this news.",
        "I like to share such news.",
        "I feel the need to share this.",
        "I would not share this with just anyone.",
    ],
    "no_answer": [
        "Nobody should have to read this.",
        "Yesterday I saw this too.",
        "Noted.",
        "Nothing to add.",
        "None of my business.",
        "No one should share this.",
        "No comment.",
        "No problem.",
        "No-brainer: people need to know.",
        "No. 1 story of the day",
        "No.1 trending",
        "No way",
        "No doubt",
        "Yes-men everywhere.",
        "Eyes on this.",
        "Yes?",
        "You should share this.",
        "People should not share this.",
        "I shared something like it last week.",
        "I share your concern.",
        "I would share my concern about this.",
        "I share in their grief.",
        "I look forward to more news.",
        "Should we stay silent? No!",
        "I can't wait to share this!",
        "I cannot help but share this.",
        "I have no problem sharing this.",
        "I would not only share this news but act on it.",
        "Someone said that I would share this.",
        'She said "I would share this".',
        "Nothing I would share.",
        "People doubt that I will.",
        "I find sharing this news to be wrong.",
        "I believe sharing this with others is irresponsible.",
        "I feel sharing this news with my neighbors could spread fear.",
        "I wish I would share this.",
        "I would rather share positive news with my followers.",
        "I would share information about how to stay safe.",
        "The police said no. The crowd said yes.",
        "The news is sad.",
        "...",
        "👍",
        "y",
        "Oui",
        "Sure! Here is what I think about it.",
        "I would share this?",
        "Would I share this?",
        "If only I knew.",
        "I'll pass.",
        "I would keep this to myself.",
        "Why would I share this?",
        "I don't see why I wouldn't share it.",
        "{}",
        '{"reason": "x"}',
        '{"share": null}',
        '{"share": 0.5}',
        '{"share": 2}',
        '{"share": "maybe"}',
        '{"share": NaN}',
        '{"share": [true]}',
        '{"share": {"value": true}}',
        '{"neighbour": {"share": true}}',
        '{"type": "object", "properties": {"share": {"type": "boolean"}}}',
        "<think>I would share this",
        "No hesitation: yes!",
        "Not interested.",
        "Okay.",
        "Affirmative.",
        '"Yes" is my answer.',
        "I, as a curious person, would share this.",
        "I would share this over my dead body.",
        "I would share something so positive.",
        "I'd be hesitant to share this.",
    ],
    "refusal": [
        "As an AI language model, I cannot make decisions.",
        "As an AI, I don't share news.",
        "I'm just an AI. I would share it.",
        "I cannot answer that.",
        "I'm sorry, but I can't assist with that.",
        "I'm sorry, but I can't help with that.",
        "I am unable to take part in this conversation.",
        "This request is against my guidelines.",
        "I must decline to answer.",
        "Yes. As an AI language model, I have no feelings.",
        "I don't have personal opinions.",
        "I can't provide personal opinions on political events.",
    ],
    "bad_json": [
        '{"share": tru',
        '{"share": "yes',
        '{"share": 1',
        '{"sha',
        '{"share":',
        "{",
        '{"share": true/false, "reason": "x"}',
        '{"share": <true or false>, "reason": "<your reason>"}',
        '{"share": true or false}',
        "Yes {smile}",
        '{"reason": "Some say the answer: yes, but',
        '{"decision_to_share": true,',
        '{"share": truely, "reason": "x"}',
    ],
    "empty": [
        "",
        "  \n\t ",
    ],
}


@pytest.mark.parametrize("text", PROSE_YES + JSON_YES)
def test_a_reply_that_says_yes_is_a_yes(text):
    verdict = parse_reply(text)
    assert (verdict.decision, verdict.problem) == (True, "")


@pytest.mark.parametrize("text", PROSE_NO + JSON_NO)
def test_a_reply_that_says_no_is_a_no(text):
    verdict = parse_reply(text)
    assert (verdict.decision, verdict.problem) == (False, "")


@pytest.mark.parametrize(
    ("text", "problem"), [(text, problem) for problem, texts in UNUSABLE.items() for text in texts]
)
def test_a_reply_that_says_neither_or_both_is_unusable_and_never_a_no(text, problem):
    assert parse_reply(text) == Verdict(None, "", problem)


BETWEEN = {
    True: """
        will share; shall share; do share; must share; have to share; am going to share; am ready to
        share; am prepared to share; am happy to share; am glad to share; am pleased to share; am
        delighted to share; am eager to share; am excited to share; am keen to share; feel compelled
        to share; feel obliged to share; would feel comfortable sharing; am interested in sharing;
        choose to share; have chosen to share; decide to share; have decided to share; opt to share;
        intend to share; plan to share; agree to share; want to share; would like to share; would
        love to share; think I would share; believe I will share; have made the decision to share;
        would make a decision to share; am in favor of sharing; am in favour of sharing; would also
        share; would still share; would just share; would simply share; would therefore share; would
        thus share; would then share; would definitely share; would certainly share; would
        absolutely share; would surely share; would gladly share; would happily share; would
        immediately share; would personally share; would actually share; would really share; would
        honestly share; would quickly share; would readily share; am sharing; will be sharing; have
        been sharing; am definitely sharing
    """,
    False: """
        will not share; won't share; never share; would never share; avoid sharing; would avoid
        sharing; am avoiding sharing; refrain from sharing; am refraining from sharing; would
        abstain from sharing; refuse to share; decline to share; am unwilling to share; am against
        sharing; feel uncomfortable sharing; am not sharing; do not want to share; do not feel
        comfortable sharing; have no intention of sharing; have no desire to share; have no interest
        in sharing; have no need to share; have no urge to share; see no reason to share; see no
        point in sharing; see no value in sharing; see no benefit in sharing; do not find any reason
        to share; would rather not share; would prefer not to share; think I would not share;
        decided that I would not share; would not in good conscience share; would not ever share; do
        not have any intention to share
    """,
    None: """
        can share; could share; should share; would probably share; will likely share; am inclined
        to share; am leaning to share; tend to share; am tempted to share; would consider sharing;
        am considering sharing; would unlikely share; am reluctant to share; might share; may share;
        would maybe share; would perhaps share; would possibly share; am not against sharing; would
        not avoid sharing; would not refuse to share; would rather share; would prefer to share; see
        reason to share; see a point in sharing; find value in sharing; see the benefit in sharing;
        have a need to share; have an interest in sharing; feel the urge to share; have a desire to
        share; like to share; love to share; cannot share; would not mind share; would hardly share;
        used to share; feel sharing; think sharing; would like sharing
    """,
}


@pytest.mark.parametrize(
    ("words", "decision"),
    [(" ".join(words.split()), decision) for decision, text in BETWEEN.items() for words in text.split(";")],
)
def test_what_stands_between_i_and_share_decides(words, decision):
    assert parse_reply(f"I {words} this news with my neighbors.").decision is decision


@pytest.mark.parametrize(
    "words",
    [
        *(
            "can share",
            "could share",
            "should share",
            "would probably share",
            "will likely share",
            "may share",
        ),
        *(
            "am inclined to share",
            "am leaning to share",
            "tend to share",
            "am tempted to share",
            "might share",
        ),
        *("would consider sharing", "am considering sharing", "would maybe share", "would perhaps share"),
        *("would possibly share", "would rather share", "see value in sharing", "love to share"),
    ],
)
def test_half_a_yes_takes_a_no_back_but_decides_nothing(words):
    assert parse_reply(f"No. I {words} this news.").problem == "ambiguous"
    assert parse_reply(f"I {words} this news.").problem == "ambiguous"


@pytest.mark.parametrize(
    "words", ["am reluctant to share", "am unlikely to share", "can't share", "would probably not share"]
)
def test_half_a_no_takes_a_yes_back_but_decides_nothing(words):
    assert parse_reply(f"Yes. I {words} this news.").problem == "ambiguous"
    assert parse_reply(f"No. I {words} this news.").decision is False
    assert parse_reply(f"I {words} this news.").problem == "ambiguous"


@pytest.mark.parametrize(
    "word",
    ["and", "so", "but", "then", "therefore", "thus", "hence", "however", "personally", "overall", "means"],
)
def test_a_word_that_concludes_may_stand_before_a_statement(word):
    assert parse_reply(f"It is violent {word} I would not share it.").decision is False


@pytest.mark.parametrize(
    "words", ["in the end", "for now", "right now", "at this time", "on balance", "that is why", "that's why"]
)
def test_an_adverbial_may_stand_before_a_statement(words):
    assert parse_reply(f"It is sad but {words} I would not share it.").decision is False


@pytest.mark.parametrize(
    "word",
    ["if", "whether", "why", "because", "although", "know", "said", "than", "that", "unless", "friends"],
)
def test_a_word_that_subordinates_may_not(word):
    assert parse_reply(f"It is violent {word} I would not share it.").decision is None


def test_every_problem_stands_in_the_list_of_problems():
    assert set(UNUSABLE) == set(PROBLEMS)


@pytest.mark.parametrize(
    ("text", "rationale"),
    [
        ("Yes", ""),
        ("**Yes.**", ""),
        ("Yes 👍", ""),
        ("Answer: no", ""),
        ("No, that would upset people.", "that would upset people."),
        ("YES — it matters.", "it matters."),
        ("**Yes** - “peace” matters", "“peace” matters"),
        ("Yes.\n\nReason: It matters.", "Reason: It matters."),
        ("My answer: no, it is violent.", "it is violent."),
        ("I would not share this.", "I would not share this."),
        ("It is peaceful.\n\nAnswer: yes", "It is peaceful.\n\nAnswer: yes"),
        ("Yes, it\ud800 matters", "it matters"),
        ('{"share": true}', ""),
        ('{"share": true, "reason": " It  matters. "}', " It  matters. "),
        ('{"share": true, "reason": "a\\nb \\"c\\" \\u00e9"}', 'a\nb "c" é'),
        ('{"share": true, "reason": "a\nb"}', "a\nb"),
        ('{"share": true, "Rationale": "because"}', "because"),
        ('{"share": true, "reason": "", "explanation": "because"}', "because"),
        ('{"share": true, "reason": ["not", "text"]}', ""),
        ('{"share": true, "reason": null}', ""),
        ('{"share": true, "reason": "\\ud83d\\ude00 \\ud83d!"}', "\U0001f600 !"),
        ('```json\n{"share": true, "reason": "x"}\n```', "x"),
        ('{"share": true, "reason": "x"} {"share": true, "reason": "y"}', "x"),
        ('{"share": true, "reason": "x",}', "x"),
        ('{"share": true, "reason": "I thi', "I thi"),
        ('{"share": true, "reason": "line\\nand \\"quo', 'line\nand "quo'),
        ('{"share": true, "reason": "cut in an escape \\', "cut in an escape \\"),
        ('{"share": true, "reason": "the "news" is\\n old"}', 'the "news" is\\n old'),
        ('{"share": true, "reason": "half \ud800 a', "half  a"),
        ("{'share': True, 'reason': 'It matters'}", "It matters"),
        ('```json\n{"share": true, "reason": "x", }\n```', "x"),
        ('{"share": true, ', ""),
    ],
)
def test_the_rationale_is_what_the_model_gave_as_its_reason(text, rationale):
    verdict = parse_reply(text)
    assert verdict.decision is not None
    assert verdict.rationale == rationale


any_text = st.text(st.characters(exclude_categories=()))
WORDS = """yes no Yes No. I would will not never share sharing it this news because but if maybe { } {" "
"share" "reason" : , [ ] true false null 1 0 NaN \\ \\u d800 ``` ```json <think> </think>
Answer: Decision: ? ! . - — ' ’ “ don't wouldn't as an AI and or é 👍"""
fragments = st.lists(st.sampled_from([*WORDS.split(), "\n", "\ud800"]), max_size=25).map(" ".join)


@given(text=any_text | fragments | fragments.map(lambda text: text.replace(" ", "")))
@example(text='{"share": true, "reason": ' + "[" * 5000)
def test_no_text_breaks_the_parser_and_a_decision_is_missing_only_with_a_problem(text):
    verdict = parse_reply(text)
    assert (verdict.decision is None) == (verdict.problem in PROBLEMS) == (verdict.problem != "")
    assert verdict.decision is not None or verdict.rationale == ""
    verdict.rationale.encode()


@given(
    share=st.booleans(),
    reason=any_text,
    ascii_only=st.booleans(),
    indent=st.none() | st.integers(0, 3),
    share_first=st.booleans(),
)
def test_any_json_answer_comes_back_as_it_was_written(share, reason, ascii_only, indent, share_first):
    pairs = [("share", share), ("reason", reason)]
    answer = json.dumps(dict(pairs if share_first else pairs[::-1]), ensure_ascii=ascii_only, indent=indent)
    expected = Verdict(share, well_formed(reason))
    assert parse_reply(answer) == expected
    assert parse_reply(f"```json\n{answer}\n```") == expected
    assert parse_reply(f"Here is my answer:\n{answer}\nI hope it helps.") == expected


@given(share=st.booleans(), reason=st.text("yesno ,.{}\"':\\\n"), cut=st.integers(1, 60))
def test_a_json_answer_cut_anywhere_is_unusable_or_what_it_was(share, reason, cut):
    answer = json.dumps({"share": share, "reason": reason})[:cut]
    verdict = parse_reply(answer)
    complete = len('{"share": ' + json.dumps(share)) <= cut
    assert verdict.decision is (share if complete else None)
    assert complete or verdict.problem == "bad_json"


@given(yes=st.sampled_from(PROSE_YES), no=st.sampled_from(PROSE_NO), yes_first=st.booleans())
def test_a_reply_that_says_yes_on_one_line_and_no_on_another_is_no_decision(yes, no, yes_first):
    assert parse_reply(f"{yes}\n{no}" if yes_first else f"{no}\n{yes}").decision is None


@pytest.mark.parametrize(("share", "prose"), [(False, PROSE_YES), (True, PROSE_NO)])
def test_prose_beside_an_object_must_not_contradict_it(share, prose):
    answer = json.dumps({"share": share, "reason": "x"})
    for text in prose:
        assert parse_reply(f"{text}\n{answer}").problem == "ambiguous", text
        assert parse_reply(f"{answer}\n{text}").problem == "ambiguous", text


disguises = st.sampled_from(
    [
        str.upper,
        str.lower,
        " {}\n".format,
        "**{}**".format,
        "“{}”".format,
        "`{}`".format,
        "> {}".format,
        "- {}".format,
    ]
)


@given(text=st.sampled_from(PROSE_YES + PROSE_NO), disguise=disguises)
def test_case_markdown_and_quotation_marks_change_no_decision(text, disguise):
    # A quotation of a quotation is too much.
    assert '"' in text or parse_reply(disguise(text)).decision is parse_reply(text).decision


@given(text=st.sampled_from(PROSE_YES + PROSE_NO), straight=st.booleans())
def test_curly_and_straight_apostrophes_mean_the_same(text, straight):
    other = text.replace("’", "'") if straight else text.replace("'", "’")
    assert parse_reply(other).decision is parse_reply(text).decision


def as_one(pair):
    high, low = map(ord, pair[0])
    return chr(0x10000 + ((high - 0xD800) << 10 | (low - 0xDC00)))


@given(text=any_text | st.text("\ud83d\ude00a"))
def test_well_formed_text_can_be_stored_and_loses_nothing_but_lone_surrogates(text):
    joined = re.sub("[\ud800-\udbff][\udc00-\udfff]", as_one, text)
    assert well_formed(text) == re.sub("[\ud800-\udfff]", "", joined)


def test_surrogates_that_stand_as_a_pair_are_joined():
    assert well_formed("\ud83d\ude00") == "\U0001f600"
    assert well_formed("\ude00\ud83d") == ""


MEGABYTE = 1_000_000
HUGE = {
    "yes": "yes ",
    "no and dots": "no. ",
    "statements": "i would share ",
    "an I without end": "i ",
    "negations": "i do not think that ",
    "braces": "{",
    "nested objects": '{"share":',
    "nested arrays": "[",
    "objects": '{"a":1}',
    "objects in a string": '{"a": "',
    "quotation marks": '"',
    "apostrophes": "a'",
    "backslashes": "\\",
    "labels": "the final answer: ",
    "questions": "share? ",
    "lines": "x\n",
    "spaces": " \t",
    "dashes": "- ",
    "fences": "```json",
    "thoughts": "<think>",
    "tags": "<b>",
    "surrogates": "\ud800",
    "emoji": "👍",
}


@pytest.mark.parametrize("unit", HUGE.values(), ids=HUGE.keys())
def test_much_of_anything_is_read_in_linear_time(unit):
    # A pattern that backtracks would run into the suite's time limit here.
    assert parse_reply("x " + unit * (MEGABYTE // 6 // len(unit)) + "x").decision is None


@pytest.mark.parametrize("unit", ["i would share ", "yes and no. ", '{"share":'])
def test_a_megabyte_is_read_in_linear_time(unit):
    assert parse_reply("x " + unit * (MEGABYTE // len(unit)) + "x").decision is None


@pytest.mark.parametrize("unit", ['{"share":', "[", '"', "\\", " \t", "\ud800", "} "])
def test_a_megabyte_after_the_decision_is_read_in_linear_time(unit):
    assert parse_reply('{"share": true, "reason": ' + unit * (MEGABYTE // len(unit))).decision is True


def test_a_long_reason_is_kept_whole():
    reason = "because, " * (MEGABYTE // 9)
    assert parse_reply(json.dumps({"share": False, "reason": reason})) == Verdict(False, reason)


def test_a_contradiction_is_found_at_any_distance():
    assert parse_reply("Yes. " + "It matters. " * 50_000 + "I would not share this.").problem == "ambiguous"


def test_a_number_too_long_to_read_is_bad_json():
    assert parse_reply('{"share": ' + "1" * 10_000 + "}").problem == "bad_json"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"answer": {"share": false}}', Verdict(decision=False)),
        (
            '{"decision": {"answer": "yes", "reason": "So true."}}',
            Verdict(decision=True, rationale="So true."),
        ),
        ('{"share": {"decision": false}, "reason": "Too grim."}', Verdict(False, "Too grim.")),
        ('{"answer": "{\\"share\\": true}"}', Verdict(decision=True)),
        ('{"answer": [{"share": true}, {"share": false}]}', Verdict(None, "", "no_answer")),
        ('{"answer": {"likes": 3}}', Verdict(None, "", "no_answer")),
        ('{"share": true, "answer": {"share": false}}', Verdict(None, "", "ambiguous")),
    ],
)
def test_an_answer_within_the_answer_counts(text, verdict):
    assert parse_reply(text) == verdict
