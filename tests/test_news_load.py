"""Loading ACLED's export and UCDP's GED."""

import csv
import datetime as dt
import io
import os
from pathlib import Path

import pytest

from agentnet.errors import InputError
from agentnet.news import load_acled, load_news, load_ucdp, synthesize
from agentnet.news.acled_server import ACLED_COLUMNS, ACLED_LICENCE
from agentnet.news.load import scan
from agentnet.news.sources.acled import interaction_of
from agentnet.news.sources.ucdp import UCDP_LICENCE

GED_HEADER = (
    "id,relid,year,active_year,code_status,type_of_violence,conflict_dset_id,conflict_new_id,conflict_name,"
    "dyad_dset_id,dyad_new_id,dyad_name,side_a_dset_id,side_a_new_id,side_a,side_b_dset_id,side_b_new_id,"
    "side_b,number_of_sources,source_article,source_office,source_date,source_headline,source_original,"
    "where_prec,where_coordinates,where_description,adm_1,adm_2,latitude,longitude,geom_wkt,priogrid_gid,"
    "country,country_id,region,event_clarity,date_prec,date_start,date_end,deaths_a,deaths_b,"
    "deaths_civilians,deaths_unknown,best,high,low,gwnoa,gwnob"
)
GED_COLUMNS = GED_HEADER.split(",")


def acled_row(**values):
    row = synthesize(1, 5)[0] | {"source": "Some Newspaper", "tags": "", "event_id_cnty": "PHL1"} | values
    return row | {"notes": values.get("notes", f"News of {row['event_id_cnty']}.")}


def write_csv(path, rows, columns=None, delimiter=",", encoding="utf-8", newline="\n"):
    out = io.StringIO()
    writer = csv.DictWriter(
        out, columns or list(rows[0]), delimiter=delimiter, lineterminator=newline, extrasaction="ignore"
    )
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(out.getvalue().encode(encoding))
    return path


def refusal(path, **more):
    with pytest.raises(InputError) as caught:
        load_news(path, **more)
    assert str(path) in str(caught.value)
    return caught.value


# --- ACLED -----------------------------------------------------------------------------------------------


def test_an_acled_export_gives_its_notes_labels_place_and_severity(tmp_path):
    row = acled_row(
        event_date="2021-03-09",
        disorder_type="Demonstrations",
        event_type="Protests",
        sub_event_type="Peaceful protest",
        location="Naga",
        admin1="Bicol",
        admin2="Camarines Sur",
        country="Philippines",
        notes="Farmers marched, and nobody was hurt.",
    )
    news = load_news(write_csv(tmp_path / "a.csv", [row]))
    (one,) = news.items
    assert (news.kind, news.warnings, news.licences) == ("acled", (), (ACLED_LICENCE,))
    assert (one.id, one.text) == ("PHL1", "Farmers marched, and nobody was hurt.")
    assert (one.date, one.place) == (dt.date(2021, 3, 9), "Naga, Camarines Sur, Bicol, Philippines")
    assert (one.severity, one.source, one.licence) == (0, "acled", ACLED_LICENCE)
    labels = (one.disorder_type, one.event_type, one.sub_event_type)
    assert labels == ("Demonstrations", "Protests", "Peaceful protest")
    assert "Armed Conflict Location & Event Data (ACLED), www.acleddata.com" in one.licence


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiter_byte_order_mark_and_line_ends_make_no_difference(tmp_path, delimiter, encoding, newline):
    rows = synthesize(12, 3)
    news = load_news(write_csv(tmp_path / "a.csv", rows, None, delimiter, encoding, newline))
    assert [one.text for one in news.items] == [row["notes"] for row in rows]
    assert news.warnings == ()


@pytest.mark.parametrize(
    "written", ["09 March 2021", "9 March 2021", "9 Mar 2021", "2021-03-09", "2021-03-09 00:00:00.000"]
)
def test_dates_are_read_as_acled_and_ucdp_write_them(tmp_path, written):
    path = write_csv(tmp_path / "a.csv", [acled_row(event_date=written)])
    assert load_acled(path).items[0].date == dt.date(2021, 3, 9)


@pytest.mark.parametrize(
    "written", ["09/03/2021", "2021-02-30", "20210309", "9 Mars 2021", "31 April 2021", "9 m 2021", "soon"]
)
def test_a_bad_date_is_refused_by_row_and_field(tmp_path, written):
    path = write_csv(tmp_path / "a.csv", [acled_row(), acled_row(event_id_cnty="PHL2", event_date=written)])
    error = refusal(path)
    assert (error.row, error.field) == (3, "event_date")
    assert f"{written!r} is no date; write 2021-02-24 or 24 February 2021" in str(error)


def test_interaction_codes_are_known_as_text_and_as_numbers(tmp_path):
    rows = [
        acled_row(
            event_id_cnty="1",
            inter1="State forces",
            inter2="Rebel group",
            interaction="State forces-Rebel group",
        ),
        acled_row(event_id_cnty="2", inter1="1", inter2="2", interaction="12"),
        acled_row(event_id_cnty="3", inter1="6", inter2="0", interaction="60"),
        acled_row(event_id_cnty="4", inter1="Protesters", inter2="", interaction="Protesters only"),
    ]
    assert load_news(write_csv(tmp_path / "a.csv", rows)).warnings == ()
    rows += [acled_row(event_id_cnty="5", inter1="9", interaction="21")]
    found = scan(write_csv(tmp_path / "b.csv", rows))
    assert found.unknown == {("inter1", "9"): 1, ("interaction", "21"): 1}
    assert "inter1 '9' is not in the codebook (1 row)" in found.warnings


def test_an_interaction_names_the_actor_with_the_lower_code_first():
    assert interaction_of("Civilians", "Political militia") == "Political militia-Civilians"
    assert interaction_of("Rioters", "Civilians") == "Rioters-Civilians"
    assert interaction_of("Protesters") == "Protesters only"


def test_the_older_columns_load_with_a_warning_and_derive_the_disorder_type(tmp_path):
    old = ["data_id", "iso", "event_id_cnty", "event_id_no_cnty"]
    new = [
        c
        for c in ACLED_COLUMNS
        if c not in ("iso", "event_id_cnty", "disorder_type", "civilian_targeting", "tags")
    ]
    rows = [
        acled_row(event_type="Protests", sub_event_type="Peaceful protest"),
        acled_row(event_id_cnty="PHL2", event_type="Battles", sub_event_type="Armed clash"),
    ]
    news = load_news(write_csv(tmp_path / "a.csv", rows, [*old, *new]))
    assert [one.disorder_type for one in news.items] == ["Demonstrations", "Political violence"]
    assert [one.severity for one in news.items] == [0, 1]
    (warning,) = news.warnings
    assert "no disorder_type, civilian_targeting, tags" in warning
    assert "the disorder type is derived from event type and sub-event type" in warning


def test_absent_columns_that_nobody_needs_are_said_to_be_harmless(tmp_path):
    columns = [c for c in ACLED_COLUMNS if c != "geo_precision"]
    news = load_news(write_csv(tmp_path / "a.csv", [acled_row()], columns))
    assert "no geo_precision; nothing is lost" in news.warnings[0]
    columns = [c for c in ACLED_COLUMNS if c not in ("admin1", "sub_event_type")]
    (warning,) = load_news(write_csv(tmp_path / "b.csv", [acled_row(event_type="Battles")], columns)).warnings
    assert "places are less exact" in warning
    assert "the severity follows from the event type alone" in warning


def test_unknown_labels_leave_the_severity_unknown_and_are_named(tmp_path):
    rows = [
        acled_row(event_id_cnty="1", event_type="Riots/Protests", sub_event_type="", disorder_type=""),
        acled_row(
            event_id_cnty="2",
            event_type="Riots/Protests",
            sub_event_type="",
            disorder_type="",
            notes="Other.",
        ),
        acled_row(event_id_cnty="3", disorder_type="Parades", notes="A third."),
    ]
    news = load_news(write_csv(tmp_path / "a.csv", rows))
    assert [one.severity for one in news.items] == [None, None, None]
    assert (
        "event_type 'Riots/Protests' is not in the codebook (2 rows); such labels leave the severity unknown"
        in news.warnings
    )
    assert (
        "disorder_type 'Parades' is not in the codebook (1 row); such labels leave the severity unknown"
        in news.warnings
    )
    assert (
        "3 rows of 3 without severity: designs by severity draw from all of them, for none has any"
        in news.warnings
    )


def test_items_without_severity_are_passed_over_where_others_have_one(tmp_path):
    rows = [acled_row(event_type="Battles", sub_event_type="Armed clash")]
    rows += [acled_row(event_id_cnty="2", disorder_type="Parades", notes="Another.")]
    news = load_news(write_csv(tmp_path / "a.csv", rows))
    assert "1 row of 2 without severity: designs by severity pass over them" in news.warnings


def test_a_severity_column_of_the_users_own_takes_the_place_of_the_rule_and_keeps_acleds_licence(tmp_path):
    rows = [acled_row(event_type="Battles", sub_event_type="Armed clash") | {"cluster": "peaceful"}]
    news = load_news(write_csv(tmp_path / "a.csv", rows), columns={"severity": "Cluster", "place": "admin1"})
    assert (news.items[0].severity, news.items[0].place) == (0, rows[0]["admin1"])
    assert news.licences == (ACLED_LICENCE,)


@pytest.mark.parametrize("column", ["event_id_cnty", "event_date", "notes"])
def test_an_empty_cell_that_every_event_has_is_refused(tmp_path, column):
    error = refusal(write_csv(tmp_path / "a.csv", [acled_row(**{column: "  "})]))
    assert (error.row, error.field) == (2, column)
    assert "is empty" in str(error)


@pytest.mark.parametrize("column", ["event_date", "notes", "event_type"])
def test_a_missing_column_that_every_export_has_is_refused(tmp_path, column):
    columns = [c for c in ACLED_COLUMNS if c != column]
    error = refusal(write_csv(tmp_path / "a.csv", [acled_row()], columns))
    assert error.field == column
    assert "there is no such column" in str(error)


def test_texts_that_repeat_are_a_warning(tmp_path):
    rows = [acled_row(event_id_cnty=str(i), notes="Same.") for i in range(3)]
    assert load_news(write_csv(tmp_path / "a.csv", rows)).warnings == (
        "2 rows of 3 repeat the text of an earlier row",
    )


# --- UCDP ------------------------------------------------------------------------------------------------

SUBSET = (
    "id,side_a,side_b,date_start,date_end,country,adm_1,adm_2,where_coordinates,deaths_a,deaths_b,"
    "deaths_civilians,deaths_unknown,low,high"
)


def ged_row(**values):
    row = dict.fromkeys(GED_COLUMNS, "")
    row |= {"id": "7", "type_of_violence": "1", "side_a": "Government of Freedonia", "side_b": "Blue Band"}
    row |= {
        "date_start": "2021-01-26 00:00:00.000",
        "date_end": "2021-01-26 00:00:00.000",
        "country": "Freedonia",
    }
    row |= {"adm_1": "North province", "adm_2": "Upper municipality", "where_coordinates": "Mill village"}
    row |= {"deaths_a": "1", "deaths_b": "12", "deaths_civilians": "0", "deaths_unknown": "0"}
    row |= {"best": "13", "low": "13", "high": "13"}
    return row | values


def ged_text(tmp_path, **values):
    return load_news(write_csv(tmp_path / "g.csv", [ged_row(**values)])).items[0].text


def test_a_ged_file_with_all_its_columns_gives_composed_texts_all_severe(tmp_path):
    news = load_news(write_csv(tmp_path / "g.csv", [ged_row()], GED_COLUMNS))
    (one,) = news.items
    assert one.text == (
        "On 26 January 2021, the Government of Freedonia and Blue Band fought each other in Mill village, "
        "Upper municipality, North province, Freedonia. Reported: one death on the side of the Government of "
        "Freedonia and 12 deaths on the side of Blue Band."
    )
    assert (one.id, one.severity, one.date) == ("7", 1, dt.date(2021, 1, 26))
    assert (one.event_type, one.source, one.licence) == ("State-based conflict", "ucdp", UCDP_LICENCE)
    assert "CC BY 4.0" in one.licence
    assert "Sundberg & Melander" in one.licence
    assert news.kind == "ucdp"
    assert "every item is severe" in news.warnings[0]
    assert "composed" in news.warnings[1]


def test_a_subset_of_geds_columns_will_do(tmp_path):
    path = tmp_path / "g.csv"
    path.write_text(
        f"{SUBSET}\n"
        "1,CPP,Civilians,2021-02-20,2021-02-22,Freedonia,,,,0,0,2,0,2,2\n"
        "2,A,B,2021-02-20,2021-02-20,Freedonia,North,,,0,0,0,0,0,3\n"
    )
    first, second = load_ucdp(path).items
    assert first.text == (
        "Between 20 February 2021 and 22 February 2021, CPP attacked civilians in Freedonia. "
        "Reported: two deaths among civilians."
    )
    assert second.text == (
        "On 20 February 2021, A and B fought each other in North, Freedonia. No deaths are confirmed. "
        "Estimates range from zero to three deaths in all."
    )
    assert (first.event_type, second.place) == ("", "North, Freedonia")


UNCOUNTED = dict.fromkeys(["deaths_a", "deaths_b", "deaths_civilians", "deaths_unknown"], "")


@pytest.mark.parametrize(
    ("values", "end"),
    [
        ({"deaths_unknown": "1", "low": "14", "high": "14"}, " and one death whose side is not known."),
        ({"low": "9", "high": "20"}, "Estimates range from nine to 20 deaths in all."),
        ({"low": "15", "high": "15"}, "The estimate is 15 deaths in all."),
        ({"low": "", "high": ""}, "12 deaths on the side of Blue Band."),
        (UNCOUNTED, "Freedonia. Reported: 13 deaths."),
        (UNCOUNTED | {"best": "", "low": "1", "high": "1"}, "Freedonia. The estimate is one death in all."),
        (UNCOUNTED | {"best": "", "low": "", "high": ""}, "North province, Freedonia."),
        (dict.fromkeys(["deaths_a", "deaths_b", "best", "low", "high"], "0"), "No deaths are confirmed."),
    ],
)
def test_the_toll_is_told_as_far_as_it_is_known(tmp_path, values, end):
    assert ged_text(tmp_path, **values).endswith(end)


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"deaths_a": "-1"}, "deaths_a", "'-1' is no count"),
        ({"best": "many"}, "best", "'many' is no count"),
        ({"low": "9", "high": "3"}, "low", "9 is above high 3"),
        ({"date_end": "2020-12-31"}, "date_end", "2020-12-31 is before date_start 2021-01-26"),
        ({"date_start": ""}, "date_start", "is empty"),
        ({"side_a": ""}, "side_a", "is empty"),
        ({"side_b": " "}, "side_b", "is empty"),
        ({"id": ""}, "id", "is empty"),
    ],
)
def test_a_bad_ged_row_is_refused_by_row_and_field(tmp_path, values, field, words):
    error = refusal(write_csv(tmp_path / "g.csv", [ged_row(id="1"), ged_row(**values)]))
    assert (error.row, error.field) == (3, field)
    assert words in str(error)


def test_a_ged_text_may_come_from_a_column_of_the_users_choice(tmp_path):
    path = write_csv(
        tmp_path / "g.csv", [ged_row(source_headline="Battle at the mill", type_of_violence="4")]
    )
    news = load_news(path, columns={"text": "source_headline"})
    assert news.items[0].text == "Battle at the mill"
    assert "type_of_violence '4' is not in the codebook (1 row)" in news.warnings


def test_a_ged_file_without_sides_is_refused(tmp_path):
    path = write_csv(tmp_path / "g.csv", [ged_row()], ["id", "date_start", "side_a"])
    error = refusal(path, kind="ucdp")
    assert (error.row, error.field) == (None, "side_b")


def test_the_real_events_of_the_philippines_all_load():
    path = os.environ.get("AGENTNET_TEST_UCDP")
    if not path:
        pytest.skip("set AGENTNET_TEST_UCDP to a CSV of UCDP GED to run this test")
    news = load_news(path)
    with Path(path).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [one.id for one in news.items] == [row["id"] for row in rows]
    assert all(one.severity == 1 and 80 < len(one.text) < 600 for one in news.items)
    assert all(row["where_coordinates"] in one.text for one, row in zip(news.items, rows, strict=True))
