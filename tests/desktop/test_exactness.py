"""Random texts of every kind into real applications: what was given is what is there, and the ledger says no more."""

import pytest

from support.exactness import check, running, warm_up
from support.pairs import APPLICATIONS, DESKTOPS, KEYS, OUTPUTS, SAMPLED, confirms, fitting, opened
from support.texts import LONGEST, texts

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(180)]

KEYS_LONGEST = 2000  # toolkits lay a line out anew for each key: 5,000 take them ten seconds
SAMPLE = 25  # 1,000 for each pair: `scripts/bench exactness`
CASES = [
    pytest.param((kind, application), output_class, id=f"{kind}-{application}-{output_class.name}")
    for kind, applications in APPLICATIONS.items()
    for application in applications
    for output_class in OUTPUTS[kind]
]


@pytest.fixture(scope="module")
def place(request):
    """A desktop and an application in it, with the kind of the one and the name of the other."""
    kind, application = request.param
    with DESKTOPS[kind]() as desktop:
        yield kind, application, desktop, opened(desktop, application)


@pytest.mark.parametrize(("place", "output_class"), CASES, indirect=["place"])
def test_every_text_arrives_exactly_and_the_ledger_never_overstates(place, output_class):
    kind, application, desktop, sink = place
    kinds = SAMPLED.get(output_class, OUTPUTS[kind][output_class])
    longest = max(texts(20, kinds=kinds, seed=2), key=len)
    length = KEYS_LONGEST if output_class in KEYS else LONGEST
    sample = [*texts(SAMPLE, kinds=kinds), (longest * LONGEST)[:length]]
    sample = [fitting(output_class, application, text) for text in sample]
    shows = confirms(output_class, application)
    with running(output_class(), desktop) as deliver:
        warm_up(deliver, sink, confirmed=shows)
        report = check(deliver, sink, sample, patience_s=30)
    assert report.wrong == []
    assert report.overstated == []
    assert sink.alive
    if shows:
        assert report.confirmed > report.texts / 2  # how soon, the bench measures
