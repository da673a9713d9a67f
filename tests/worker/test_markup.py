"""No text becomes an element, and none changes the text around it."""

from __future__ import annotations

import pytest

from payout_engine.markup import element


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("R&amp;D", "R&amp;amp;D"),
        ('" onload="x', "&quot; onload=&quot;x"),
        ("it's", "it&#x27;s"),
        ("Müller 東京 🎈 \u05d0", "Müller 東京 🎈 \u05d0"),
        ("a\u200db", "a\u200db"),
        ("\u202eabc", "\\u202eabc"),
        ("a\x00\x1b[31m\x85", "a\\u0000\\u001b[31m\\u0085"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\U000e0041", "\\ue0041"),
    ],
)
def test_a_text_is_shown_as_it_is(told: str, shown: str) -> None:
    assert element("p", told) == f"<p>{shown}</p>"
    assert element("p", title=told) == f'<p title="{shown}"></p>'


def test_an_element_is_not_escaped_within_another() -> None:
    inner = element("b", "1 < 2")
    assert element("p", "a", [inner, None, ["c"]], None) == "<p>a<b>1 &lt; 2</b>c</p>"


def test_attributes_have_the_names_of_html() -> None:
    drawn = element("td", class_="number", data_label="Amount", title=None)
    assert drawn == '<td class="number" data-label="Amount"></td>'
    assert element("meta", name="viewport") == '<meta name="viewport"/>'
