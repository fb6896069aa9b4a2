"""Edge lists as other programs write them: what is a remark, a header, a name, and what is no edge."""

import gzip
import re

import pytest

from agentnet.errors import ConfigurationError, InputError
from agentnet.network import Network, complete, read_network, read_node_table
from agentnet.news import load_news


@pytest.fixture
def write(tmp_path):
    def write(text, name="net.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def named(network):
    """List the edges by the names of their ends."""
    names = network.labels or tuple(map(str, range(network.n_agents)))
    return [(names[u], names[v]) for u, v in network.edges().tolist()]


SNAP = "# Undirected graph: toy.txt\n# Nodes: 3 Edges: 2\n# FromNodeId\tToNodeId\n{}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (SNAP.format("30\t1412\n1412\t7\n"), "snap.txt"),
        ("% sym unweighted\n% 2 3 3\n30 1412\n1412 7\n", "konect.txt"),
        ("%% made by hand\n#\n\n30,1412\n1412,7\n", "net.csv"),
        ("#source target\n30 1412\n1412 7\n", "net.edges"),
        ("#who,whom\n%1412,7\nsource,target\n30,1412\n1412,7\n", "net.csv"),
        ("#made-by-hand\n30,1412\n1412,7\n", "net.csv"),
    ],
)
def test_remarks_above_the_edges_are_passed_over_and_counted(write, text, name):
    network = read_network(write(text, name))
    assert network.labels == ("30", "1412", "7")
    n_remarks = sum(line.startswith(("#", "%")) for line in text.split("\n"))
    assert any(note.startswith(f"{n_remarks} row") for note in network.notes)


@pytest.mark.parametrize("head", ["source,target\n", "", "# who was named with whom\n"])
def test_names_may_begin_with_a_sign_of_remarks(write, head):
    text = f"{head}#Covid,#Flu\nWHO,#Flu\n%MeToo,#Covid\n"
    assert read_network(write(text)).labels == ("#Covid", "#Flu", "WHO", "%MeToo")


@pytest.mark.parametrize(
    ("text", "name", "row", "complaint"),
    [
        ("#my,friends\nana,ben\nben,cara\n", "net.csv", 1, "its names stand nowhere else; put a blank after"),
        ("ana,ben\n# ben,cara\ncara,dan\n", "net.csv", 2, "like a remark and reads as an edge"),
        ("#Flu ana {'x': 1\nana #Flu {}\n", "net.txt", 1, "'#Flu' is a node further down"),
        ("ana,ben\n#cara\n", "net.csv", 2, "an edge needs two node names"),
        ('#Flu,"ana\nben,#Covid\n', "net.csv", 1, "its quotes are not closed"),
        ("% bip unweighted\n1 1\n2 1\n", "net.txt", 1, "bipartite"),
        ("1 ana\n2 ben\n#\n1 2\n", "net.txt", 3, "Trivial Graph Format"),
    ],
)
def test_what_may_be_a_remark_or_an_edge_is_refused(write, text, name, row, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        read_network(write(text, name))
    assert caught.value.row == row


@pytest.mark.parametrize(
    "header",
    [
        *("source,target", "Source,Target,Weight", "from,to", "FROM_ID,TO_ID", "FromNodeId,ToNodeId"),
        *("src,dst", "origin,destination", "source_user,target_user", "node_1,node_2", "personA,personB"),
        *("id1,id2", "userid1,userid2", "Source airport,Destination airport", "from_name,to_name", "u,v"),
        *("follower,followee", "follower_id,followed_id", "citing,cited", "sender,receiver"),
    ],
)
def test_a_header_that_says_so_makes_no_agents(write, header):
    network = read_network(write(f"{header}\nana,ben\nben,cara\n"))
    assert network.labels == ("ana", "ben", "cara")


def test_the_columns_of_both_ends_are_found_wherever_they_stand(write):
    text = "Id,Type,Target,Source,Weight\n0,Undirected,ben,ana,1.0\n1,Undirected,cara,ben,2.5\n"
    network = read_network(write(text))
    assert named(network) == [("ben", "ana"), ("ben", "cara")] or network.labels == ("ana", "ben", "cara")
    assert "columns not read: Id, Type, Weight" in network.notes


def test_direction_that_a_header_or_a_head_states_is_dropped_and_said(write):
    follows = read_network(write("follower,followee\nana,ben\n"))
    assert any("have a direction, which is dropped" in note for note in follows.notes)
    snap = read_network(write("# Directed graph: toy.txt\n1\t2\n", "net.txt"))
    assert any("have a direction, which is dropped" in note for note in snap.notes)
    assert not any("direction" in note for note in read_network(write("source,target\na,b\n")).notes)


def test_edges_that_say_of_themselves_that_they_are_directed_are_counted(write):
    rows = ("Source,Target,Type,Weight", "a,b,Directed,1", "b,c,Undirected,1", "a,c,directed,2")
    network = read_network(write("\n".join(rows)))
    assert network.n_edges == 3
    assert any("2 edges of type Directed: the direction is dropped" in note for note in network.notes)
    undirected = read_network(write("Source,Target,Type\na,b,Undirected\n"))
    assert not any("direction" in note for note in undirected.notes)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("citizen,buddy\nana,ben\nben,cara\n", 1),
        ("citizen,buddy,strength\nana,ben,1\ncara,dan,2\n", 1),
        ("1,2\n2,3\nsum,total\n", 3),
        ("1 2\n2 3\n3 1\n// done\n", 4),
    ],
)
def test_rows_of_words_that_stand_nowhere_else_are_never_agents(write, text, row):
    with pytest.raises(InputError, match=r"row source,target above") as caught:
        read_network(write(text, "net.csv" if "," in text else "net.txt"))
    assert caught.value.row == row


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('"from","to"\n"1","ana","ben"\n"2","ben","cara"\n', "net.csv"),
        ('"from" "to" "kin"\n"1" "ana" "ben" "aunt"\n"2" "ben" "cara" "uncle"\n', "net.txt"),
        ('"","from","to"\n"1","ana","ben"\n"2","ben","cara"\n', "net.csv"),
        (",source,target\n0,ana,ben\n1,ben,cara\n", "net.csv"),
        ("from\tto\n1\tana\tben\n2\tben\tcara\n", "net.tsv"),
    ],
)
def test_row_names_are_no_nodes(write, text, name):
    assert named(read_network(write(text, name))) == [("ana", "ben"), ("ben", "cara")]


def test_a_data_dict_that_is_damaged_is_no_node(tmp_path):
    path = tmp_path / "net.csv"
    path.write_text("0,2,{'weight': 1}\n0,ana,{'weight': 1}\n01,{'weight' 1}\n")
    with pytest.raises(InputError, match="row 3: an edge needs two node names"):
        read_network(path)


def test_a_row_without_a_name_below_one_with_a_name_is_no_edge_without_it(tmp_path):
    path = tmp_path / "net.csv"
    path.write_text('"from","to"\n"0","ana","ben"\n"0","cleo"\n')
    with pytest.raises(InputError, match=r"row 3: has 2 fields where the first row has 3, its name among"):
        read_network(path)


def test_row_names_that_may_be_nodes_are_refused(write):
    with pytest.raises(InputError, match="the first counts the rows: if these are row names"):
        read_network(write("from to\n1 5 7\n2 5 8\n", "net.txt"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ana ben {'weight': 3, 'since': '1 May'}\nben cara {}\n", "net.edges"),
        ('ana ben {"weight": 3, "since": "1 May"}\nben cara {}\n', "net.edges"),
        ("ana,ben,{'weight': [3, 4]}\nben,cara,{'x': None}\n", "net.csv"),
        ("ana ben {'w': np.float64(3.0)}\nben cara {'at': datetime.date(2020, 1, 2)}\n", "net.edges"),
        ("ana|ben|{'w': nan}\nben|cara|{'x': {'y': {}}}\n", "net.txt"),
        ('ana ben {\'by\': "O\'Hara {x}"}\nben cara {"a": true, "b": "a\\/b"}\n', "net.txt"),
        ("ana ben 0,5\nben cara 1,25\n", "net.txt"),
        ("ana;ben;0,5\nben;cara;1,25\n", "net.csv"),
        ("ana\tben\t2021-03-04\nben\tcara\t2021-03-05\n", "net.txt"),
        ("ana|ben\nben|cara\n", "net.csv"),
        ("'ana' ben\nben cara\n".replace("'", '"'), "net.txt"),
        ("ana,ben\nben,cara\n".encode("utf-16"), "net.csv"),
        (gzip.compress(b"ana,ben\nben,cara\n", mtime=0), "net.csv.gz"),
    ],
)
def test_weights_data_and_delimiters_of_other_programs_leave_the_names_alone(write, text, name):
    assert named(read_network(write(text, name))) == [("ana", "ben"), ("ben", "cara")]


def test_whole_numbers_that_became_floats_are_the_same_names(write):
    network = read_network(write("source,target\n0,1.0\n1,2.0\n2,3.0\n"))
    assert (network.labels, network.n_agents) == (None, 4)
    assert "names such as '1.0' are read as '1'" in network.notes
    assert read_network(write("a,2.0\n2.0,b\n")).labels == ("a", "2.0", "b")
    with pytest.raises(InputError, match=r"'2\.0' and '2' are two names here, and may be one"):
        read_network(write("a,2.0\n2,a\n"))


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("source,target\n1e+05,2\n2,99999\n", [("100000", "2"), ("2", "99999")]),  # as R writes 100000
        ("1.000000000000000000e+00 2.000000000000000000e+00\n", [("1", "2")]),  # as numpy.savetxt does
        ("007 1.50E3\n", [("007", "1500")]),
        ("1e5 1.5e0\n", [("1e5", "1.5e0")]),
        ("1e5 ff\nff 12\n", [("1e5", "ff"), ("ff", "12")]),
    ],
)
def test_numbers_in_scientific_notation_are_whole_where_all_names_are(write, text, edges):
    assert named(read_network(write(text, "net.csv" if "," in text else "net.txt"))) == edges


def test_a_number_and_its_scientific_notation_are_never_two_agents(write):
    with pytest.raises(InputError, match=r"row 3.*'100000' stands in row 2 already"):
        read_network(write("source,target\n1e+05,2\n2,100000\n"))
    with pytest.raises(InputError, match="'1e5' and '100000' are two names here, and may be one"):
        read_network(write("a,1e5\n100000,a\n"))


@pytest.mark.parametrize(
    ("text", "name", "row", "complaint"),
    [
        ("source,target\nana,NA\n", "net.csv", 2, r"'NA' stands for a missing value"),
        ("source,target\nana,\xa0\n", "net.csv", 2, "an edge needs two node names"),
        ("0 1 2 5\n1 2\n2 3 4\n", "net.txt", 2, "no edge list with one edge in each row"),
        ("0,1,0\n1,0,1\n0,1,0\n", "net.csv", 1, "this is an adjacency matrix"),
        ("0 1.5 0 2\n1.5 0 1 0\n0 1 0 0\n2 0 0 0\n", "net.txt", 1, "this is an adjacency matrix"),
        (",a,b,c\na,0,1,1\nb,1,0,1\nc,1,1,0\n", "net.csv", 1, "begins like an adjacency matrix"),
        ('ana\t"ben cara\n0\t1\n', "net.txt", 1, "its quotes are not closed"),
        ("New York Boston\nBoston Cebu\n", "net.txt", 1, "an edge is two names and at most numbers"),
        ("ana ben\nNew York Boston\n", "net.txt", 2, "has 3 fields where row 1 has 2"),
        ("ana,ben\nben,cara,dan\n", "net.csv", 2, "has 3 fields where row 1 has 2"),
        ("source,target,weight\nana,ben,0,5\n", "net.csv", 2, "has 4 fields where the header has 3"),
        ("source,target,target\nana,ben,cara\n", "net.csv", 1, "stands twice in the header"),
        ("ana ben {'weight': 3\nben cara {}\n", "net.txt", 1, "an edge is two names"),
        ("ana,{'weight': 3\n", "net.csv", 1, "an edge needs two node names"),
        ('ana,"ben\ncara",dan\n', "net.csv", 1, "its quotes are not closed"),
        (b"ana,ben\nJos\xe9,ana\n", "net.csv", 2, "is not UTF-8"),
        (b"ana,ben\nb\0n,ana\n", "net.csv", 2, "NUL"),
    ],
)
def test_a_row_that_is_no_edge_is_refused_by_its_number(write, text, name, row, complaint):
    path = write(text, name)
    with pytest.raises(InputError, match=complaint) as caught:
        read_network(path)
    assert caught.value.row == row
    assert str(path) in str(caught.value)


def test_what_parts_the_columns_is_not_guessed_where_two_signs_would_do(write):
    with pytest.raises(InputError, match="commas and semicolons part the rows equally well"):
        read_network(write("a,b;c\nd,e;f\n"))


def test_blank_files_hold_no_edges(write):
    for text in ("\xa0 \n", "\u200b\n\n", "# only this\n"):
        with pytest.raises(InputError, match="there are no edges in it"):
            read_network(write(text))


def test_an_encoding_can_be_named(write):
    path = write("José,Ana\nAna,Ben\n".encode("cp1252"))
    assert read_network(path, encoding="cp1252").labels == ("José", "Ana", "Ben")
    with pytest.raises(ConfigurationError, match="there is no text encoding 'cp1253x'"):
        read_network(path, encoding="cp1253x")


@pytest.mark.parametrize("text", ["a,b\nb,a\n", "a,b\nb,b\n"])
def test_loops_and_repeats_are_refused_with_the_way_out(write, text):
    with pytest.raises(InputError, match=re.escape("--simplify (network_options.simplify)")):
        read_network(write(text))


def test_simplify_drops_loops_and_repeats_and_says_how_many(write):
    path = write("source,target\nd,d\na,b\nb,a\na,b\nb,c\nc,c\n")
    network = read_network(path, simplify=True)
    assert network.notes[-1] == "simplified: dropped 2 loops and 2 repeats"
    # A node with nothing but a loop is in the file, so it is an agent.
    assert (network.labels, network.n_edges) == (("d", "a", "b", "c"), 2)
    plain = write("a,b\nb,c\n", "plain.csv")
    assert read_network(plain, simplify=True) == read_network(plain)
    assert not any("simplified" in note for note in read_network(plain, simplify=True).notes)


def test_a_head_that_states_other_sizes_is_said(write):
    notes = read_network(write("# Nodes: 9 Edges: 2\n1\t2\n2\t3\n", "cut.txt")).notes
    assert "the file's head states 9 nodes and 2 edges, and here are 3 nodes in 2 rows" in notes
    assert not any("states" in note for note in read_network(write("% 2 3 3\n1 2\n2 3\n", "whole.txt")).notes)


def test_the_tables_that_agentnet_exports_are_read_back(command, small):
    few = ("--quiet", "-S", "repeats=1", "-S", "steps=1", "-S", "n_agents=6")
    assert command("run", small, "--out", "one", *few, "-S", "network=complete", "-S", "degree=5").code == 0
    assert command("export", "one", "--format", "csv", "--out", "out").code == 0
    assert read_network("out/edges.csv") == complete(6)
    assert [item.source for item in load_news("out/news.csv").items] == ["table", "table"]
    assert command("run", small, "--out", "two", *few).code == 0
    assert command("export", "two", "--format", "csv", "--out", "out").code == 0
    with pytest.raises(InputError, match=r"begins another network; keep the rows of one"):
        read_network("out/edges.csv")


TABLES = [
    '"","node","town"\n"1","ben","Cebu"\n"2","ana",NA\n',
    '"node","town"\n"1","ben","Cebu"\n"2","ana",NA\n',
    ",name,town\n0,ben,Cebu\n1,ana,NaN\n",
    ",town\nben,Cebu\nana,null\n",
    'node;town\n"ben";Cebu\nana;\n',
    "# made by hand\nnode,town\n# two of them\nben,Cebu\nana,\xa0\n",
]


@pytest.mark.parametrize("text", TABLES)
def test_node_tables_of_other_programs_are_read(write, text):
    network = Network.from_edges([(0, 1)], 2, labels=("ana", "ben"))
    assert dict(read_node_table(write(text), network).node_attributes) == {"town": ("", "Cebu")}


def test_row_numbers_are_the_nodes_where_nodes_are_numbers(write):
    network = Network.from_edges([(0, 1)], 2)
    table = read_node_table(write(",town\n0,Cebu\n1,Davao\n"), network)
    assert dict(table.node_attributes) == {"town": ("Cebu", "Davao")}


def test_a_node_named_with_a_sign_has_its_row(write):
    network = Network.from_edges([(0, 1)], 2, labels=("#Covid", "#Flu"))
    table = read_node_table(write("node,since\n#Covid,2019\n#Flu,412\n"), network)
    assert dict(table.node_attributes) == {"since": ("2019", "412")}


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("user_id,friend_id\n12,30\n30,44\n", "user_id, friend_id"),
        ("friend_id,user_id\n12,30\n30,44\n", "user_id, friend_id"),
        ("account,follower_id,since\n12,30,2020\n30,44,2021\n", "account, follower_id"),
        ("node,neighbour_node\n12,30\n30,44\n", "node, neighbour_node"),
        ("id,user,contact_id\n1,12,30\n2,30,44\n", "user, contact_id"),
    ],
)
def test_a_relative_beside_a_bare_noun_is_a_header(tmp_path, text, ends):
    path = tmp_path / "n.csv"
    path.write_text(text)
    network = read_network(path)
    assert (set(network.labels), network.n_edges) == ({"12", "30", "44"}, 2)
    assert any(f"header: {ends}" in note for note in network.notes)


@pytest.mark.parametrize("rows", ["1,2\n2,3\n3,1\nTotal,3\n", "ana,ben\nben,cara\ncara,dan\nEdges,3\n"])
def test_a_total_in_the_last_row_is_no_edge_and_below_a_header_is_pointed_out(tmp_path, rows):
    path = tmp_path / "n.csv"
    path.write_text(rows)
    with pytest.raises(InputError, match="take the row out if it is a total") as caught:
        read_network(path)
    assert caught.value.row == 4
    path.write_text(f"source,target\n{rows}")
    assert any("stands in the last row alone: take the row out" in note for note in read_network(path).notes)


def test_an_odd_name_that_is_no_total_stays_an_agent(tmp_path):
    path = tmp_path / "n.csv"
    path.write_text("source,target\nroot,1\n1,2\n2,3\n3,root\n")
    assert "root" in read_network(path).labels
    path.write_text("source,target\nroot,1\n1,2\n2,3\n")
    assert read_network(path).n_agents == 4


def test_a_node_table_is_read_in_the_encoding_of_its_network(tmp_path):
    (tmp_path / "n.csv").write_text("source,target\nJosé,Zoë\n", encoding="cp1252")
    (tmp_path / "t.csv").write_text("node,town\nJosé,Málaga\nZoë,Köln\n", encoding="cp1252")
    network = read_network(tmp_path / "n.csv", encoding="cp1252")
    table = read_node_table(tmp_path / "t.csv", network, encoding="cp1252")
    assert table.node_attributes["town"] == ("Málaga", "Köln")
    with pytest.raises(InputError, match="is not UTF-8"):
        read_node_table(tmp_path / "t.csv", network)


def test_whole_numbers_with_a_decimal_comma_are_the_same_names(write):
    assert read_network(write("source;target\n1,0;2,00\n2,0;3\n")).labels == ("1", "2", "3")
    assert read_network(write('source,target\n"1,000",1\n1,2\n')).labels == ("1,000", "1", "2")


@pytest.mark.parametrize("name", ["1.23457E+18", "9.1E+11", "9007199254740993.0", "1E+16", "-1.2345e14"])
def test_a_number_that_a_program_rounded_names_nobody(write, name):
    with pytest.raises(InputError, match=r"rounded.*write the names as texts") as caught:
        read_network(write(f"source,target\n7,8\n{name},8\n{name},9\n"))
    assert caught.value.row == 3


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("(0, 0) (0, 1) {}\n(0, 1) (1, 1) {}\n", "grid.edges"),  # networkx's tuples
        ("('a', 1),('b', 2)\n('b', 2),('c', 3)\n", "grid.csv"),
        ("(np.int64(0), 1) (1, 1)\n(1, 1) (2, 1)\n", "grid.txt"),
        ('[1,] "ana" "ben"\n[2,] "ben" "cara"\n', "print.txt"),  # R's print of a matrix
        ("source,target\u2028ana,ben\n", "lines.csv"),
        ("ana,ben\x85ben,cara\n", "lines.csv"),
    ],
)
def test_a_piece_of_a_tuple_or_of_another_line_is_no_name(write, text, name):
    with pytest.raises(InputError, match="row 1: an edge needs two node names"):
        read_network(write(text, name))


def test_names_may_hold_brackets(write):
    text = "(:\tana (x)\n[team] b\t(0, 1)\n(0, 1)\t(:\n"
    assert read_network(write(text, "n.tsv")).labels == ("(:", "ana (x)", "[team] b", "(0, 1)")


@pytest.mark.parametrize(
    "text",
    [
        "index,0,1\n0,ana,ben\n1,ben,cara\n",  # pandas, of a frame without names
        "0,1,2\n0,11,12\n1,12,13\n",
        '"1";"ana";"ben"\n"2";"ben";"cara"\n"3";"cara";"dan"\n',  # R's write.table(col.names = FALSE)
        "1\t11\t12\n2\t12\t13\n3\t13\t14\n",
        "0|张三|李四|5\n1|李四|王五|6\n",
    ],
)
def test_rows_that_begin_with_their_numbers_are_doubted_without_a_header(write, text):
    with pytest.raises(InputError, match="row 1: the rows begin with their numbers"):
        read_network(write(text, "n.tsv" if "\t" in text else "n.csv"))


@pytest.mark.parametrize(
    "text", ["1,2,0.5\n2,3,0.7\n3,4,.2\n", "1,2,friend\n2,3,foe\n3,4,foe\n", "1,11,3\n2,12,2\n3,13,4\n"]
)
def test_an_edge_list_may_begin_with_ascending_names(write, text):
    assert read_network(write(text)).n_edges == 3


def test_a_header_of_numbers_above_words_is_doubted(write):
    with pytest.raises(InputError, match="'0', '1' looks like a header, all other names being words"):
        read_network(write("0,1\nana,ben\nben,cara\n"))
    assert read_network(write("0,1\n1,2\n5,6\n")).n_edges == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jos\u00e9", "Jose\u0301"),
        ("ana", "ana\u200b"),
        ("\u200fana", "ana"),
        ("\u00e9\u2060", "\u00e9\u00ad"),
        ("ana\u00a0b", "ana b"),
    ],
)
def test_two_names_that_look_the_same_are_refused(write, one, other):
    with pytest.raises(InputError, match="are two names that look the same: write them alike"):
        read_network(write(f"source,target\n{one},x\n{other},y\n"))
    assert read_network(write(f"source,target\n{one},x\n{one},y\n")).n_agents == 3
