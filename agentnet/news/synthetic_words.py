"""The words of the synthetic sample: real places of the Philippines, invented organisations and persons.

Coordinates are those of the towns to about a kilometre. Every organisation, unit, company and surname is
made up; should one resemble a real one, that is chance.
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A town; latitude and longitude in degrees."""

    region: str
    province: str
    town: str
    latitude: float
    longitude: float


_BARMM = "Bangsamoro Autonomous Region in Muslim Mindanao"
PLACES = (
    Place("National Capital Region", "Metro Manila", "Quezon City", 14.676, 121.044),
    Place("National Capital Region", "Metro Manila", "Manila", 14.599, 120.984),
    Place("National Capital Region", "Metro Manila", "Caloocan", 14.657, 120.984),
    Place("Cordillera Administrative Region", "Benguet", "Baguio", 16.412, 120.593),
    Place("Cordillera Administrative Region", "Kalinga", "Tabuk", 17.419, 121.444),
    Place("Cordillera Administrative Region", "Abra", "Bangued", 17.597, 120.617),
    Place("Ilocos", "Ilocos Norte", "Laoag", 18.198, 120.594),
    Place("Ilocos", "Pangasinan", "Dagupan", 16.043, 120.333),
    Place("Cagayan Valley", "Cagayan", "Tuguegarao", 17.613, 121.727),
    Place("Cagayan Valley", "Isabela", "Ilagan", 17.149, 121.889),
    Place("Central Luzon", "Nueva Ecija", "Cabanatuan", 15.486, 120.967),
    Place("Central Luzon", "Pampanga", "San Fernando", 15.033, 120.689),
    Place("Central Luzon", "Bulacan", "Malolos", 14.843, 120.811),
    Place("Calabarzon", "Laguna", "Calamba", 14.211, 121.165),
    Place("Calabarzon", "Batangas", "Batangas City", 13.757, 121.058),
    Place("Calabarzon", "Quezon", "Lucena", 13.932, 121.617),
    Place("Mimaropa", "Occidental Mindoro", "San Jose", 12.353, 121.068),
    Place("Mimaropa", "Palawan", "Puerto Princesa", 9.739, 118.736),
    Place("Bicol", "Albay", "Legazpi", 13.139, 123.734),
    Place("Bicol", "Camarines Sur", "Naga", 13.619, 123.181),
    Place("Bicol", "Masbate", "Masbate City", 12.369, 123.620),
    Place("Bicol", "Sorsogon", "Sorsogon City", 12.974, 124.006),
    Place("Western Visayas", "Iloilo", "Iloilo City", 10.720, 122.562),
    Place("Western Visayas", "Capiz", "Roxas", 11.585, 122.751),
    Place("Western Visayas", "Negros Occidental", "Bacolod", 10.676, 122.951),
    Place("Central Visayas", "Cebu", "Cebu City", 10.316, 123.885),
    Place("Central Visayas", "Negros Oriental", "Guihulngan", 10.121, 123.273),
    Place("Central Visayas", "Bohol", "Tagbilaran", 9.655, 123.853),
    Place("Eastern Visayas", "Leyte", "Tacloban", 11.244, 125.004),
    Place("Eastern Visayas", "Northern Samar", "Catarman", 12.499, 124.637),
    Place("Eastern Visayas", "Samar", "Catbalogan", 11.775, 124.886),
    Place("Zamboanga Peninsula", "Zamboanga del Sur", "Pagadian", 7.827, 123.437),
    Place("Zamboanga Peninsula", "Zamboanga del Norte", "Dipolog", 8.589, 123.341),
    Place("Northern Mindanao", "Bukidnon", "Malaybalay", 8.157, 125.128),
    Place("Northern Mindanao", "Misamis Oriental", "Cagayan de Oro", 8.482, 124.647),
    Place("Davao", "Davao del Sur", "Davao City", 7.073, 125.613),
    Place("Davao", "Davao Oriental", "Mati", 6.955, 126.217),
    Place("Soccsksargen", "Cotabato", "Kidapawan", 7.008, 125.089),
    Place("Soccsksargen", "South Cotabato", "General Santos", 6.113, 125.172),
    Place("Caraga", "Agusan del Norte", "Butuan", 8.947, 125.541),
    Place("Caraga", "Surigao del Sur", "Tandag", 9.078, 126.199),
    Place(_BARMM, "Maguindanao", "Cotabato City", 7.216, 124.246),
    Place(_BARMM, "Lanao del Sur", "Marawi", 8.000, 124.291),
    Place(_BARMM, "Basilan", "Lamitan", 6.654, 122.137),
    Place(_BARMM, "Sulu", "Jolo", 6.052, 121.002),
)

VILLAGES = (
    "Poblacion", "San Roque", "Bagumbayan", "Malinaw", "Santa Cruz", "Pag-asa", "Maligaya", "Mabini",
    "San Isidro", "Riverside", "Bayanihan", "Santo Nino", "Del Pilar", "Rizal", "San Vicente", "Kalikasan",
)  # fmt: skip

FIRST_NAMES = (
    "Ramon", "Lito", "Marisol", "Dante", "Corazon", "Jun", "Teresita", "Arnel", "Rowena", "Felipe", "Nenita",
    "Rodel", "Lourdes", "Efren", "Gemma", "Alvin", "Perla", "Joselito", "Amina", "Hassan",
)  # fmt: skip

SURNAMES = (
    "Delavente", "Marasuga", "Tindalan", "Obrasco", "Quimsaro", "Lagpitan", "Batungay", "Salandres",
    "Pinagtilan", "Mondaruel", "Kalinsod", "Abracero", "Dumatolen", "Yaptengara", "Baludoy", "Esquilante",
)  # fmt: skip


class Group(NamedTuple):
    """An invented organisation that demonstrates: who its people are and what they ask for."""

    name: str
    people: str
    demands: tuple[str, ...]


GROUPS = (
    Group(
        "Kilos Palayan Farmers' Network",
        "rice farmers",
        (
            "ask for a fair buying price for unhusked rice",
            "call for a pause on rice imports during the harvest",
            "press for the release of crop insurance payments after the last typhoon",
        ),
    ),
    Group(
        "Sigaw Silid Student Council",
        "students",
        (
            "oppose a planned rise in tuition fees",
            "call for safe and full reopening of classrooms",
            "ask for more buses on the campus route",
        ),
    ),
    Group(
        "Guro ng Bukas Teachers' League",
        "public school teachers",
        (
            "seek higher starting salaries for teachers",
            "ask for an end to unpaid clerical work",
            "call for smaller classes and new textbooks",
        ),
    ),
    Group(
        "Alagang Tapat Nurses' Association",
        "nurses and hospital staff",
        (
            "ask for hazard pay that was promised during the pandemic",
            "call for the hiring of more ward nurses",
            "seek regular posts for contract health workers",
        ),
    ),
    Group(
        "Lakbay Manibela Drivers' Cooperative",
        "jeepney drivers",
        (
            "oppose the deadline for replacing traditional jeepneys",
            "call for a rollback of fuel prices",
            "ask for a longer grace period on new franchises",
        ),
    ),
    Group(
        "Lambat at Alon Fisherfolk Circle",
        "fisherfolk",
        (
            "call for the protection of municipal fishing grounds",
            "oppose a reclamation project along the bay",
            "ask for fuel subsidies for small boats",
        ),
    ),
    Group(
        "Bubong Natin Urban Poor Assembly",
        "residents of informal settlements",
        (
            "ask for a relocation site close to their work",
            "call for a halt to planned demolitions",
            "seek water and power connections for their homes",
        ),
    ),
    Group(
        "Makina at Kamay Workers' Union",
        "factory workers",
        (
            "ask for a higher daily minimum wage",
            "call for an end to short-term contracts",
            "seek the reinstatement of dismissed colleagues",
        ),
    ),
    Group(
        "Bantay Lunti Environment Forum",
        "environmental advocates",
        (
            "oppose an open-pit mine in the uplands",
            "call for the clean-up of the river",
            "ask the council to ban single-use plastic",
        ),
    ),
    Group(
        "Lupang Ninuno Elders' Council",
        "indigenous residents",
        (
            "oppose a dam on their ancestral land",
            "ask for recognition of their land title",
            "call for consultation before any road is cut through the forest",
        ),
    ),
    Group(
        "Ilaw ng Parokya Lay Fellowship",
        "churchgoers",
        (
            "pray for honest elections",
            "call for an end to corruption in relief distribution",
            "remember the victims of past abuses",
        ),
    ),
    Group(
        "Tinig ng Babae Women's Circle",
        "women's rights advocates",
        (
            "call for equal pay for equal work",
            "call for better protection against harassment at work",
            "ask for day care centres in every village",
        ),
    ),
    Group(
        "Barko at Pamilya Seafarers' Kin",
        "families of seafarers",
        (
            "ask for faster processing of unpaid claims",
            "call for direct flights home for stranded crews",
            "seek free health check-ups for returning workers",
        ),
    ),
    Group(
        "Tinda at Tulay Vendors' Guild",
        "market vendors",
        (
            "oppose the closing of the old public market",
            "ask for lower stall fees",
            "call for shaded stalls and cleaner drains",
        ),
    ),
)

VENUES = (
    "in front of the city hall", "outside the provincial capitol", "at the public plaza",
    "near the cathedral", "outside the regional labour office", "at the university gate",
    "along the national highway", "beside the public market", "at the freedom park",
    "in front of the provincial hospital",
)  # fmt: skip

PROPS = (
    "hand-painted placards", "candles and paper lanterns", "banners made of rice sacks",
    "drums and bamboo flutes", "white balloons", "small flags", "empty pots and pans",
    "umbrellas painted with slogans",
)  # fmt: skip

PROTEST_LEADS = (
    "{On}, about {size} {people} of the {group} held a peaceful rally {venue} in {where} to {want}.",
    "About {size} {people} marched through {where} {on} and gathered {venue} to {want}, led by the {group}.",
    "{On}, the {group} staged a picket {venue} in {where}; about {size} {people} took part to {want}.",
    (
        "Carrying {props}, some {size} {people} joined a silent vigil {venue} in {where} {on} to {want}, the "
        "{group} said."
    ),
    (
        "Members of the {group} formed a human chain {venue} in {where} {on}. Around {size} {people} joined "
        "hands to {want}."
    ),
)
"""Fields: On and on (the date), where, venue, group, people, size, want, props."""

PROTEST_DETAILS = (
    '{speaker}, who spoke for the group, told the crowd: "{words}"',
    "Participants brought {more_props} and sang folk songs.",
    "A councillor came out to receive their petition and promised a meeting the following week.",
    "Police officers kept watch from a distance and directed traffic; nobody was hurt or arrested.",
    "Organisers thanked passers-by who stopped to listen and handed out leaflets.",
    "The programme ended with songs and a short prayer before the crowd went home quietly.",
    "Volunteers shared free porridge and swept the street afterwards.",
    "An official of the province said that the request would be studied in the coming session.",
    "Motorists sounded their horns in support as the group passed.",
    "The gathering lasted about two hours and caused only light traffic.",
)
"""Fields: speaker, words, more_props."""

SPEECHES = (
    "Our patience is long, but our families cannot wait another season.",
    "We came in peace and we will return in peace until we are heard.",
    "A dialogue costs nothing, and silence costs us our living.",
    "We only ask officials to keep the promise they have made.",
    "What we want is a seat at the table where this is decided.",
    "We do this for our children, who will inherit this town.",
)

REBELS = (
    "Amihan Liberation Column", "Pulang Lawin Command", "Kidlat Uplands Brigade",
    "Sinag-Dagat Armed Movement", "Talahib Insurgent Front",
)  # fmt: skip

SOLDIERS = (
    "Bagwis Rifle Battalion", "Balangaw Infantry Battalion", "Lakan Scout Company",
    "Kampilan Ridge Battalion",
)  # fmt: skip

GUNMEN = ("two gunmen on a motorcycle", "armed men in masks", "unidentified gunmen")

JOBS = (
    "village councillor", "tricycle driver", "rice trader", "radio commentator", "land-rights lawyer",
    "barangay captain", "fish vendor", "retired police officer", "school principal",
    "construction foreman", "candidate for town mayor", "sugar planter", "coconut farmer", "court clerk",
)  # fmt: skip

SPOTS = (
    "outside the family home", "near the market", "inside a roadside eatery", "at a basketball court",
    "near a petrol station", "at a waiting shed", "in front of a small store", "on a dirt road",
)  # fmt: skip

ATTACK_LEADS = (
    "{On}, {killers} shot and killed {victim}, a {job}{others}, {spot} in {where}.",
    "{Killers} opened fire on {victim}, a {job}{others}, {spot} in {where} {on}, leaving no survivors.",
    "{Killers} gunned down {victim}, a {job}{others}, {spot} in {where} {on}.",
    "{On}, {killers} ambushed and stabbed to death {victim}, a {job}{others}, {spot} in {where}.",
)
"""Fields: On, on, where, spot, killers and Killers, victim, job, others (", and two companions" or "")."""

CLASH_LEADS = (
    "{On}, the {unit} fought a {minutes}-minute gun battle with fighters of the {rebels} in {where}.",
    (
        "Fighters of the {rebels} ambushed a patrol of the {unit} in {where} {on}; the firefight lasted "
        "{minutes} minutes."
    ),
    (
        "Heavy gunfire broke out in {where} {on} when the {unit} stormed a camp of the {rebels}, and went on "
        "for {minutes} minutes."
    ),
)
"""Fields: On, on, where, unit, rebels, minutes."""

CLASH_TOLL = "{Fighters} killed, {soldiers} killed and {hurt} wounded."

BOMB_LEADS = (
    "{On}, a roadside bomb planted by the {rebels} exploded beside {target} in {where}, {toll}.",
    "A homemade bomb of the {rebels} blew up under {target} in {where} {on}, {toll}.",
    "{On}, fighters of the {rebels} set off a buried explosive as {target} passed through {where}, {toll}.",
)
"""Fields: On, on, where, rebels, target, toll."""

GRENADE_LEADS = (
    "{On}, {killers} threw a grenade into the house of {victim}, a {job}, in {where}, {toll}.",
    "A grenade thrown by {killers} exploded at the house of {victim}, a {job}, in {where} {on}, {toll}.",
)
"""Fields: On, on, where, killers, victim, job, toll."""

ABDUCTION_LEADS = (
    (
        "{On}, {killers} abducted {victim}, a {job}, at gunpoint {spot} in {where} and dragged the victim "
        "into a van. The victim has not been seen since."
    ),
    (
        "{Killers} seized {victim}, a {job}, {spot} in {where} {on}, beat a bystander who tried to help, and "
        "drove off with their captive, who is still missing."
    ),
)
"""Fields: as for attacks, without others."""

MOB_LEADS = (
    (
        "{On}, a mob armed with clubs and bolos beat to death {victim}, a {job}, in {where}, after a rumour "
        "of theft, and set the victim's house on fire."
    ),
    (
        "An enraged mob dragged {victim}, a {job}, from a shop in {where} {on} and hacked the victim to "
        "death in a quarrel over land."
    ),
)
"""Fields: On, on, where, victim, job."""

AFTERMATH = (
    "Checkpoints were set up on all roads out of the town and a manhunt was ordered.",
    "Frightened families left their homes and spent the night in a school building.",
    "The authorities formed a task group and offered a reward for information.",
    "Classes were suspended in the village the next day for fear of further violence.",
    "Residents said that they heard screams and ran for cover.",
    "The area was sealed off while forensic experts searched it.",
)

AFTERMATH_OF_ATTACKS = (
    "Investigators are looking for those responsible; the motive is not known.",
    "No group has claimed responsibility.",
    "Relatives said that death threats had been received in the weeks before.",
    "The attackers fled towards the hills before police arrived.",
)

AFTERMATH_OF_BATTLES = (
    "Troops recovered rifles, ammunition and blood-stained backpacks.",
    "Helicopters flew the wounded out before nightfall.",
    "Artillery fire was heard in the hills until the evening.",
    "The military sent reinforcements to pursue the retreating fighters.",
)

AFTERMATH_OF_DEATHS = (
    "The dead were taken to the provincial hospital under guard.",
    "Human rights workers condemned the bloodshed and demanded an independent inquiry.",
    "Doctors said that nothing could be done for the dead when the ambulance came.",
    "The mayor condemned the killing and ordered help for the bereaved.",
)
