"""The synthetic sample: invented events of the Philippines in the shape of ACLED's export.

ACLED's terms do not allow shipping its rows, so these were written for this project: the places are real,
the events, organisations and persons are not. Peaceful protests and severe violence differ in their words as
they do in real news, so that clustering text embeddings separates them. Every row is marked in ``source``,
``tags`` and its id; the notes carry no mark, because they are what a language model reads.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import as_file, files
from typing import Any, NamedTuple, TypeVar

from agentnet.errors import DesignError
from agentnet.news.acled_server import ACLED_COLUMNS
from agentnet.news.dates import date_in_words
from agentnet.news.item import SYNTHETIC, NewsFile, NewsItem
from agentnet.news.load import load_acled
from agentnet.news.severity import TAXONOMY
from agentnet.news.source import LABELS, news_source
from agentnet.news.sources.acled import SYNTHETIC_SOURCE, acled, interaction_of
from agentnet.news.table import Cells
from agentnet.streams import Streams
from agentnet.vocabulary import PEACEFUL, SEVERE

FIRST_DAY, LAST_DAY = dt.date(2021, 2, 24), dt.date(2024, 2, 27)
SAMPLE_ROWS, SAMPLE_SEED, SAMPLE_SEVERE_FRACTION = 240, 1, 0.5
"""How the packaged sample was made; the defaults of ``agentnet news synth``."""

SHORTEST, LONGEST = 150, 500
"""Bounds on the length of the notes, in characters."""

_SUB_EVENTS = {line.sub_event_type: line for line in TAXONOMY}
_WORDS_PER_ROW = 64
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

T = TypeVar("T")


class _Chance:
    """Draws from one keyed stream, one number after the other.

    Raw words instead of a NumPy generator: only they are the same in every version of NumPy, and the
    packaged sample has to come out again byte by byte.
    """

    def __init__(self, seed: int, severity: int, index: int) -> None:
        stream = Streams(seed).words("news", "synthetic", severity, index, count=_WORDS_PER_ROW)
        self._words = iter(stream.tolist())

    def below(self, bound: int) -> int:
        """Draw a whole number of [0, bound)."""
        return int(next(self._words)) * bound >> 64

    def between(self, low: int, high: int) -> int:
        """Draw a whole number of [low, high]."""
        return low + self.below(high - low + 1)

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of `choices`."""
        return choices[self.below(len(choices))]

    def order(self, choices: Sequence[T]) -> list[T]:
        """Draw all of `choices` in random order."""
        rest = list(choices)
        return [rest.pop(self.below(len(rest))) for _ in choices]


class _Place(NamedTuple):
    """A town; latitude and longitude in degrees."""

    region: str
    province: str
    town: str
    latitude: float
    longitude: float


class _Scene(NamedTuple):
    """When and where an event happens."""

    date: dt.date
    place: _Place
    village: str

    @property
    def where(self) -> str:
        return f"{self.place.town}, {self.place.province}"

    @property
    def deep(self) -> str:
        return f"Barangay {self.village}, {self.where}"


class _Story(NamedTuple):
    """What happens: the labels, the actors and the sentences, the first of which is always told."""

    sub_event_type: str
    actor1: str
    inter1: str
    lead: str
    details: Sequence[str]
    actor2: str = ""
    inter2: str = ""
    group: str = ""
    fatalities: int = 0


def synthesize(n: int, seed: int, severe_fraction: float = SAMPLE_SEVERE_FRACTION) -> list[dict[str, str]]:
    """Make `n` invented events as rows of ACLED's current export.

    Args:
        n: Number of rows, at least 1.
        seed: Fixes the rows, on every machine and NumPy.
        severe_fraction: Share of severe events, in [0, 1]; the rest are peaceful protests.

    Returns:
        Rows with all 31 columns as text, by date, from 2021-02-24 to 2024-02-27; ids SYN000001 and on.

    Raises:
        DesignError: `n` or `severe_fraction` is out of range.
    """
    if n < 1:
        raise DesignError(f"n is {n}; make at least 1 event")
    if not 0 <= severe_fraction <= 1:
        raise DesignError(f"severe_fraction is {severe_fraction}; it must be in [0, 1]")
    n_severe = int(n * severe_fraction + 0.5)
    made = [_event(seed, SEVERE, index) for index in range(n_severe)]
    made += [_event(seed, PEACEFUL, index) for index in range(n - n_severe)]
    # The sort is stable: events of one day stay in the order in which they were made.
    made.sort(key=lambda row: row["event_date"])
    return [{**row, "event_id_cnty": f"SYN{number:06d}"} for number, row in enumerate(made, 1)]


@cache
def sample_news() -> NewsFile:
    """Load the packaged sample: 240 invented news items, half of them severe."""
    with as_file(files("agentnet.news") / "data" / "synthetic_philippines.csv") as path:
        return load_acled(path)


@cache
def _all_words() -> dict[str, Any]:
    return tomllib.loads((files("agentnet.news") / "data" / "synthetic_words.toml").read_text("utf-8"))


def _words(name: str) -> list[str]:
    found: list[str] = _all_words()[name]
    return found


def _event(seed: int, severity: int, index: int) -> dict[str, str]:
    chance = _Chance(seed, severity, index)
    day = FIRST_DAY + dt.timedelta(days=chance.below((LAST_DAY - FIRST_DAY).days + 1))
    scene = _Scene(day, _Place(*chance.pick(_all_words()["places"])), chance.pick(_words("villages")))
    story = chance.pick(_PLOTS)(chance, scene) if severity == SEVERE else _protest(chance, scene)
    return _row(chance, scene, story)


def _row(chance: _Chance, scene: _Scene, story: _Story) -> dict[str, str]:
    labels = _SUB_EVENTS[story.sub_event_type]
    civilians = "Civilians" in (story.inter1, story.inter2)
    values: dict[str, object] = {
        "event_date": scene.date.isoformat(),
        "year": scene.date.year,
        "time_precision": 1,
        "disorder_type": labels.disorder_type,
        "event_type": labels.event_type,
        "sub_event_type": labels.sub_event_type,
        "actor1": story.actor1,
        "assoc_actor_1": story.group,
        "inter1": story.inter1,
        "actor2": story.actor2,
        "inter2": story.inter2,
        "interaction": interaction_of(story.inter1, story.inter2),
        "civilian_targeting": "Civilian targeting" if civilians else "",
        "iso": 608,
        "region": "Southeast Asia",
        "country": "Philippines",
        "admin1": scene.place.region,
        "admin2": scene.place.province,
        "admin3": scene.place.town,
        "location": scene.place.town,
        "latitude": f"{scene.place.latitude:.4f}",
        "longitude": f"{scene.place.longitude:.4f}",
        "geo_precision": 1,
        "source": SYNTHETIC_SOURCE,
        "source_scale": "Other",
        "notes": _notes(chance, story),
        "fatalities": story.fatalities,
        "tags": "synthetic",
        "timestamp": _recorded(chance, scene.date),
    }
    return {column: str(values.get(column, "")) for column in ACLED_COLUMNS}


def _recorded(chance: _Chance, day: dt.date) -> int:
    """Draw when the row was recorded, as a Unix time: some days after the event, as in a weekly release."""
    midnight = dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(days=chance.between(3, 10))
    return int(midnight.timestamp()) + chance.below(86_400)


def _notes(chance: _Chance, story: _Story) -> str:
    """Tell the story in as many sentences as a drawn length allows, never outside the bounds."""
    wanted = chance.between(SHORTEST, LONGEST - 120)
    text = story.lead
    for detail in chance.order(story.details):
        if len(text) >= wanted:
            break
        if len(text) + 1 + len(detail) <= LONGEST:
            text = f"{text} {detail}"
    return text


def _name(chance: _Chance) -> str:
    return f"{chance.pick(_words('first_names'))} {chance.pick(_words('surnames'))}"


def _start(text: str) -> str:
    return text[0].upper() + text[1:]


def _when(scene: _Scene) -> dict[str, str]:
    on = f"on {date_in_words(scene.date)}"
    return {"on": on, "On": _start(on)}


def _protest(chance: _Chance, scene: _Scene) -> _Story:
    group = chance.pick(_all_words()["groups"])
    facts = _when(scene) | {
        "where": scene.where,
        "group": group["name"],
        "people": group["people"],
        "size": str(10 * chance.between(3, 60)),
        "want": chance.pick(group["demands"]),
        "venue": chance.pick(_words("venues")),
        "props": chance.pick(_words("props")),
        "more_props": chance.pick(_words("props")),
        "speaker": _name(chance),
        "words": chance.pick(_words("speeches")),
    }
    return _Story(
        sub_event_type="Peaceful protest",
        actor1="Protesters (Philippines)",
        inter1="Protesters",
        group=group["name"],
        lead=chance.pick(_words("protest_leads")).format(**facts),
        details=[detail.format(**facts) for detail in _words("protest_details")],
    )


class _Attackers(NamedTuple):
    words: str
    inter: str
    actor: str


def _attackers(chance: _Chance) -> _Attackers:
    rebels, gunmen = chance.pick(_words("rebels")), chance.pick(_words("gunmen"))
    if chance.below(3) == 0:
        return _Attackers(f"fighters of the {rebels}", "Rebel group", rebels)
    return _Attackers(gunmen, "Political militia", "Unidentified Armed Group (Philippines)")


def _against_civilian(
    chance: _Chance, scene: _Scene, sub_event_type: str, leads: Sequence[str], dead: int, **more: str
) -> _Story:
    """Tell of an attack by somebody on one named civilian."""
    attackers = _attackers(chance)
    facts = _when(scene) | {
        "where": scene.deep,
        "spot": chance.pick(_words("spots")),
        "killers": attackers.words,
        "Killers": _start(attackers.words),
        "victim": _name(chance),
        "job": chance.pick(_words("jobs")),
    }
    return _Story(
        sub_event_type=sub_event_type,
        actor1=attackers.actor,
        inter1=attackers.inter,
        actor2="Civilians (Philippines)",
        inter2="Civilians",
        lead=chance.pick(leads).format(**facts, **more),
        details=_words("aftermath") + _words("aftermath_of_attacks") + _mourning(dead),
        fatalities=dead,
    )


def _mourning(dead: int) -> list[str]:
    return _words("aftermath_of_deaths") if dead else []


def _attack(chance: _Chance, scene: _Scene) -> _Story:
    dead = chance.between(1, 3)
    others = f", and {_people(dead - 1, 'companion', 'companions')}" if dead > 1 else ""
    return _against_civilian(chance, scene, "Attack", _words("attack_leads"), dead, others=others)


def _grenade(chance: _Chance, scene: _Scene) -> _Story:
    dead, hurt = chance.between(0, 2), chance.between(1, 5)
    return _against_civilian(
        chance, scene, "Grenade", _words("grenade_leads"), dead, toll=_casualties(dead, hurt)
    )


def _abduction(chance: _Chance, scene: _Scene) -> _Story:
    return _against_civilian(chance, scene, "Abduction/forced disappearance", _words("abduction_leads"), 0)


def _mob(chance: _Chance, scene: _Scene) -> _Story:
    story = _against_civilian(chance, scene, "Mob violence", _words("mob_leads"), 1)
    return story._replace(actor1="Rioters (Philippines)", inter1="Rioters")


def _clash(chance: _Chance, scene: _Scene) -> _Story:
    rebels, unit = chance.pick(_words("rebels")), chance.pick(_words("soldiers"))
    fighters, soldiers = chance.between(0, 5), chance.between(0, 2)
    facts = _when(scene) | {"where": scene.deep, "rebels": rebels, "unit": unit}
    toll = str(_all_words()["clash_toll"]).format(
        Fighters=_start(_people(fighters, "fighter was", "fighters were")),
        soldiers=_people(soldiers, "soldier was", "soldiers were"),
        hurt=_people(chance.between(1, 6), "person was", "people were"),
    )
    lead = chance.pick(_words("clash_leads")).format(**facts, minutes=5 * chance.between(2, 18))
    return _Story(
        sub_event_type="Armed clash",
        actor1=unit,
        inter1="State forces",
        actor2=rebels,
        inter2="Rebel group",
        lead=f"{lead} {toll}",
        details=_words("aftermath") + _words("aftermath_of_battles") + _mourning(fighters + soldiers),
        fatalities=fighters + soldiers,
    )


def _bomb(chance: _Chance, scene: _Scene) -> _Story:
    rebels, unit = chance.pick(_words("rebels")), chance.pick(_words("soldiers"))
    dead, hurt, at_bus = chance.between(0, 4), chance.between(2, 9), chance.below(2) == 0
    facts = _when(scene) | {
        "where": scene.deep,
        "rebels": rebels,
        "target": "a passenger bus" if at_bus else f"a truck of the {unit}",
        "toll": _casualties(dead, hurt),
    }
    return _Story(
        sub_event_type="Remote explosive/landmine/IED",
        actor1=rebels,
        inter1="Rebel group",
        actor2="Civilians (Philippines)" if at_bus else unit,
        inter2="Civilians" if at_bus else "State forces",
        lead=chance.pick(_words("bomb_leads")).format(**facts),
        details=_words("aftermath") + _mourning(dead),
        fatalities=dead,
    )


def _people(count: int, one: str, many: str) -> str:
    return f"{_COUNTS[count]} {one if count == 1 else many}"


def _casualties(dead: int, hurt: int) -> str:
    wounded = f"wounding {_people(hurt, 'person', 'people')}"
    return f"killing {_people(dead, 'person', 'people')} and {wounded}" if dead else wounded


# One entry per twentieth of the severe events: attacks on civilians are the commonest, as in the paper.
_PLOTS: tuple[Callable[[_Chance, _Scene], _Story], ...] = (
    *[_attack] * 9,
    *[_clash] * 5,
    *[_bomb] * 2,
    *[_abduction] * 2,
    _grenade,
    _mob,
)


@news_source(
    SYNTHETIC,
    columns={"id": "event_id_cnty", "text": "notes", "date": "event_date"} | {name: name for name in LABELS},
    whence="invented for agentnet's synthetic sample",
    citation="invented events of agentnet's synthetic sample; nothing of it happened.",
)
def synthetic(cells: Cells) -> NewsItem:
    """Make the item of a row, which is written like ACLED's export."""
    return acled(cells)
