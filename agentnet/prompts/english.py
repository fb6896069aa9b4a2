"""The words and patterns by which `agentnet.prompts.prose` reads English.

All patterns expect prose as `agentnet.prompts.prose.normalized` leaves it. Their repeats are bounded, so that
each takes time proportional to the text, which may be a megabyte of anything.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FOLDED = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02", '"'),
        **dict.fromkeys("\u2012\u2013\u2014\u2015\u2212", " - "),
        **dict.fromkeys("()[]", ","),
        **dict.fromkeys("*_`#~", ""),
        "\u2026": "...",
        "\u2011": "-",
    }
)
TAG = re.compile(r"</?[A-Za-z]{1,12}>")
SYMBOL = re.compile(r"[^\w\s.,;:!?'\"/-]")
SHORTENED = re.compile(r"'(?P<tail>d|ll|m|ve|re)\b")
TAILS = {"d": " would", "ll": " will", "m": " am", "ve": " have", "re": " are"}
NEGATED = re.compile(
    r"\b(?P<stem>wo|ca|sha|would|do|does|did|should|could|is|are)n'?t\b|\b(?P<cannot>cannot)\b"
)
STEMS = {"wo": "will", "ca": "can", "sha": "shall"}

# "No. 5" and "no.1" number things, and "no-brainer" is one word: a hyphen ends an answer only after a space.
_END = r"""(?=["']?(?:\s?[.!,;:]|\s-|\n|$))"""
_END_NO = r"""(?=["']?(?:\s?(?:\.+(?!\s?\d)|[!,;:])|\s-|\n|$))"""
_YES = rf"(?:yes|yeah|yep|yup)(?:{_END}|(?= (?:i|because|since|definitely|absolutely|certainly|please)\b))"
_NO = rf"(?:no|nope|nah)(?:{_END_NO}|(?= (?:i|because|since|thanks|thank you|definitely|absolutely)\b))"
_SAID = rf"""["']?(?:(?P<yes>{_YES})|(?P<no>{_NO}))"""
_FILLER = (
    r"(?:(?:well|hmm+|um|uh|ok|okay|sorry|honestly|personally|so|hell|heck|definitely|absolutely|certainly"
    r"|of course|in my opinion|in this case)[ ,.!:-]{1,3}){0,3}"
)
_SENTENCE = r"(?:^|[.!?\n]\s?)"
_NEWS = r"(?:it|this|the news|this news)"

OPENING = re.compile(_FILLER + _SAID)
ALONE = re.compile(rf"^{_SAID}[.!\"']*$", re.MULTILINE)
ASKED = re.compile(rf"""\bshar(?:e|ing)\b[^.!?\n]{{0,120}}\?["']?\s{_SAID}""")
SAYING = re.compile(
    r"\bi(?: would| will| am| have to| must)? (?:say|answer|vote|reply|respond|go with|going with)(?: with)?"
    rf"[,:]? {_SAID}"
)
CONCLUDING = re.compile(rf"[,.;\n]\s?(?:so|therefore|thus|hence),? {_SAID}")
LABELLED = re.compile(
    r"(?:^|[.!?;,\n]\s?)(?:(?:so|therefore|thus|hence|overall|my|the|final)[ ,]{1,2}){0,4}"
    r"""["']?(?:answer|decision|response|verdict|choice|reply|share)["']?(?: (?:is|would be|will be))?"""
    rf"""\s?[:-]?\s?(?:{_SAID}|["']?(?:(?P<true>true)|(?P<false>false)){_END}"""
    rf"|(?:to )?(?P<negated>(?:do |to )?not (?:to )?)?(?P<share>share|sharing)(?: {_NEWS})?(?=[.!,;\n]|$))"
)
IMPERATIVE = re.compile(
    r"(?:(?:will|would) )?(?P<negated>(?:do |will |would |am )?not |never )?(?:be )?(?:share|sharing)"
    rf"(?: {_NEWS}| that)?(?=[.!,;\n]|$| because\b| with my\b)"
)
EMPHATIC_NOT = re.compile(rf"(?:absolutely|definitely|certainly|of course|surely) not{_END}")
ELLIPSIS = re.compile(
    r"\bi (?:(?P<yes>would|will)"
    r"|(?P<no>(?:would|will) not|do not think so|think not|would (?:rather|prefer) not(?: to)?))(?=[.!\n]|$)"
)
WHOLE = {
    **dict.fromkeys(("true", "absolutely", "definitely", "certainly", "of course", "sure"), True),
    **dict.fromkeys(("false", "never"), False),
}

REFUSAL = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b"
    r"(?= (?:i|language|model|assistant|chatbot)\b|,|$)"
    r"|\bi am (?:just |only )?an ai\b"
    r"|\bi (?:can not|am unable to|am not able to|must decline to|decline to|will not|would not) "
    r"(?:answer|assist|comply|fulfill|participate|engage|take part|decide|help (?:with|you)"
    r"|make (?:this|that|a) decision)\b"
    r"|\b(?:can not|not able to|unable to) (?:share|provide|express|offer|have) (?:my |any |a )?"
    r"(?:personal )?(?:opinion|view|preference|feeling)s?\b"
    r"|\bdo not have (?:any |a )?(?:personal )?(?:opinion|preference|feeling|emotion|belief|experience)s?\b"
    r"|\bagainst (?:my|the|our) (?:guidelines|policy|policies|programming)\b"
)
HEDGED_OPENING = re.compile(
    r"(?:(?:well|hmm+|honestly|ok|okay)[ ,.!-]{1,3})?(?:maybe|perhaps|possibly|probably|likely|unlikely"
    r"|it depends|that depends|depends|depending|not (?:\w+ )?(?:sure|certain)|unsure|undecided|uncertain"
    r"|hard to say|i (?:do not|can not) (?:know|say|decide)|i am (?:unsure|undecided|uncertain|torn))\b"
)
HEDGE = re.compile(
    r"\b(?:yes|no),? (?:- )?(?:but )?(?:maybe|perhaps|possibly|probably|i guess|unless"
    r"|(?:only )?(?:if|when|with)|depending|it depends|sort of|kind of)\b"
    r"|\b(?:yes|true)(?: and |, and | or | ?/ ?)(?:no|false)\b|\bno(?: and |, and | or | ?/ ?)yes\b"
    r"|\bi am (?:not (?:\w+ )?(?:sure|certain)|unsure|undecided|uncertain|torn)(?=[.!\n]|$)"
    r"|\b(?:not (?:\w+ )?(?:sure|certain)|unsure|undecided|uncertain|torn|do not know|wonder|can not decide)"
    r"(?: about)? (?:(?:if|whether|that) i|whether (?:or not )?to share|sharing|i (?:would|will|should))\b"
)
DECLINED = re.compile(
    r"(?:(?:i am |so )?sorry,? (?:but )?|i apologize,? (?:but )?|unfortunately,? )?"
    r"(?:as an? (?:ai|artificial intelligence|(?:large )?language model)\b"
    r"|i (?:can not|am unable to|am not able to|must decline to|decline to|will not|would not) "
    r"(?:assist|comply|fulfill|help (?:with|you)|(?:create|write|produce|provide) (?:this|that|such))\b)"
)
"""How a text begins that its writer declines to write."""

AGAINST_YES = re.compile(
    rf"(?:^|[.!?,;:\n]\s?|\s-\s|\bbut ){_NO}"
    r"|\b(?:let us|let's|better|should|must|shall) not (?:be )?shar(?:e|ed|ing)\b"
    r"|\bi (?:would|will|do|am|shall) not (?:(?:want|going|willing|think|be|i|would|will|to) ){0,5}"
    r"shar(?:e|ing)\b|\bkeep (?:it|this|this news|the news) to myself\b"
    rf"|{_SENTENCE}(?:(?:(?:do |will |would |am )?not |never )(?:be )?shar(?:e|ing)\b"
    rf"|(?:absolutely|definitely|certainly|of course|surely) not{_END}|(?:never|false)(?=[.!\n]|$))"
)
AGAINST_NO = re.compile(
    r"\b(?:yes|yeah|yep|yup)\b"
    rf"|{_SENTENCE}(?:(?:will |would )?(?:be )?(?:share|sharing)(?: {_NEWS})?|absolutely|definitely|certainly"
    r"|of course|sure|true)(?=[.!\n]|$)"
)

# "I", at most twelve words, and a verb of sharing: what the words between say, `prose` weighs.
STATEMENT = re.compile(
    r"\bi(?P<gap>(?: [a-z]++){0,12}?) (?:(?P<share>share|sharing)|repost(?:ing)?|retweet(?:ing)?"
    rf"|spread(?:ing)?|forward(?:ing)?|(?P<passed_on>pass(?:ing)? (?:that|{_NEWS}) (?:on|along)))(?![\w'-])"
)
THING = re.compile(
    r" (?:it|that|them|this|these|(?:the|(?:(?:this|that|these|such)(?: (?:kind|type|sort)s? of)?"
    r"(?: (?!(?:about|in|of|on|from|with|concern|view|opinion|sentiment|feeling|thought|value|belief)s?\b)"
    r"[\w'-]{1,30}){0,3}?)) (?:news|story|stories|information|posts?|articles?|updates?|events?|reports?"
    r"|incidents?|items?|content|messages?|details?))"
    r"(?=\s?[.,;:!?\n\"-]|\s?$| (?:with|to|on|because|since|as|so|and|or|but|for|due|in|at|if|unless|only"
    r"|without|further|online|publicly|widely|immediately|now|right|until|given|about|even|though|although"
    r"|however|when|while|by|yet|again|either|via|through|around|among|that|along|once|provided|except"
    r"|before|after)\b)"
)
NO_THING = re.compile(r"\s?[.,;!\n]|\s?$| (?:with|because|since|so|but|if|unless|only)\b")

# Words that may stand between "I" and the verb. What weakens a yes may leave a no firm ("see no reason to").
NEUTRAL = _words(
    "i would will shall do am have be been must to in of that from a the any want like love intend plan "
    "going willing ready prepared happy glad pleased delighted eager excited keen compelled obliged "
    "comfortable interested choose chosen decide decided opt prefer rather feel think believe see find "
    "made make decision reason need desire intention interest point value benefit urge favor favour agree "
    "also still just simply therefore thus then definitely certainly absolutely surely gladly happily "
    "immediately personally actually really honestly quickly readily ever good conscience"
)
WEAK_IF_YES = _words("see find reason need desire interest point value benefit urge prefer rather")
SOFT = _words("can could should probably likely inclined leaning tend tempted consider considering")
NEGATORS = _words(
    "not never no against avoid avoiding refrain refraining abstain refuse decline unwilling uncomfortable"
)
SOFT_NEGATORS = _words("unlikely reluctant")
HEDGES = _words("might may maybe perhaps possibly")
# "I am not sharing this" is a statement, "I feel sharing this is wrong" is none.
BEFORE_SHARING = _words(
    "am be been in of from avoid avoiding against comfortable uncomfortable consider considering prefer point"
)
BETWEEN_AM_AND_SHARING = _words(
    "not never also still just definitely certainly absolutely gladly happily immediately actually really"
)
KNOWN = NEUTRAL | SOFT | NEGATORS | SOFT_NEGATORS | HEDGES

BEFORE_I = _words("and so but then therefore thus hence however yes no personally overall means")
ADVERBIALS = (
    " is why",
    "that's why",
    " in the end",
    " for now",
    " right now",
    " at this time",
    " on balance",
)
AS_SOMEBODY = ("as a ", "as an ", "as someone ", "as somebody ")

SENTENCE_END = re.compile(r"[.!?;\n]")
CLAUSE_END = re.compile(r",|\b(?:because|since|as|so|to|and|for)\b")
CONDITION_BEFORE = re.compile(r"\b(?<!even )(?:if|unless)\b")
CONDITION = re.compile(r"\b(?<!even )(?:if|unless|until|once|when|after|only|provided|no one|nobody|none)\b")
LATER_CONDITION = re.compile(r",? (?:but )?only (?:if|after|when|with|once)\b|, (?:if|unless|provided)\b")
RESERVATION = re.compile(r" (?:but|although|(?<!even )though|however|except)\b")
REVERSAL = re.compile(
    r"(?:\A|[.!;\n]\s?)"
    r"(?:but|however|although|though|wait|actually|correction|scratch that|instead|no|rather)\b"
    r"|\bon (?:second|further) thought\b|\b(?:on|upon) reflection\b|\b(?:changed|change) my mind\b"
    r"|\bnot (?:to )?(?:be )?(?:shar(?:e|ing)|repost|retweet|spread|forward)"
)
"""What a writer goes back upon an answer with that stands beside these words."""

SECOND_THOUGHT = re.compile(r"[.!;\n]+\s?(?:but|although|though|however|still|on second thought)\b")
EXCEPTION = re.compile(r"\b(?:unless|until|without|if|before|with (?:everyone|everybody|just anyone))\b")
