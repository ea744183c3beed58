import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from corral.domain.output import Assembler, Gap, Range, Result, as_text, assemble, group_results


@st.composite
def chunked(draw):
    """A text cut into ranges, some cut twice, in any order."""
    data = draw(st.binary(max_size=300))
    ranges = []
    for _ in range(draw(st.integers(1, 3))):
        cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=6)) | {0, len(data)})
        ranges += [Range(a, data[a:b]) for a, b in itertools.pairwise(cuts)]
    return data, draw(st.permutations(ranges))


@settings(deadline=None)
@given(chunked())
def test_ranges_in_any_order_with_duplicates_give_the_exact_bytes(case):
    data, ranges = case
    whole = assemble(ranges)
    assert (whole.data, tuple(whole.gaps), whole.cut) == (data, (), False)


@settings(deadline=None)
@given(chunked())
def test_bytes_come_out_of_an_assembler_once_and_in_order(case):
    data, ranges = case
    assembler = Assembler(hold_bytes=10_000)
    out = b"".join(piece for r in ranges for piece in assembler.feed(r.offset, r.data, r.skipped))
    assert out == data[: len(out)]
    assert out + b"".join(assembler.finish()) == data


def test_a_missing_range_is_named_and_not_closed_up_silently():
    whole = assemble([Range(0, b"abc"), Range(10, b"xyz")])
    assert whole.data == b"abcxyz"
    assert whole.gaps == (Gap(3, 10, dropped=False),)


def test_bytes_the_node_left_out_are_a_dropped_gap_and_are_not_waited_for():
    assembler = Assembler()
    assert assembler.feed(0, b"head") == [b"head"]
    assert assembler.feed(100, b"tail", skipped=96) == [Gap(4, 100, dropped=True), b"tail"]
    assert assembler.finish() == []


def test_an_assembler_that_holds_too_much_gives_up_on_the_missing_range():
    assembler = Assembler(hold_bytes=8)
    assert assembler.feed(4, b"12345678") == []
    assert assembler.feed(12, b"9") == [Gap(0, 4, dropped=False), b"12345678", b"9"]


def test_a_cap_cuts_the_bytes_and_says_so():
    whole = assemble([Range(0, b"abcdef")], cap=4)
    assert (whole.data, whole.cut) == (b"abcd", True)


def test_invalid_bytes_are_replaced_and_a_character_split_by_the_cut_is_left_out():
    assert as_text(b"a\xffb") == "a\ufffdb"
    assert as_text("aé".encode()[:2], cut=True) == "a"
    assert as_text("aé".encode(), cut=True) == "aé"
    assert as_text("日本".encode()[:5], cut=True) == "日"
    assert as_text(b"", cut=True) == ""


def test_identical_results_are_one_group_and_the_largest_comes_first():
    results = [Result(node=f"n{i}", state="succeeded", exit_code=0, stdout="ok\n") for i in (3, 1, 2)]
    results.append(Result(node="n0", state="failed", exit_code=1, stderr="no\n"))
    groups = group_results(results)
    assert [g.nodes for g in groups] == [("n1", "n2", "n3"), ("n0",)]
    assert groups[0].sample.node == "n1"
