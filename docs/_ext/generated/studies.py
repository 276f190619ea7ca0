"""What the studies of the document's claims have found."""

from cbam_np.nets.studies import store
from cbam_np.nets.studies.plan import STUDIES
from cbam_np.nets.studies.summary import in_short, report
from generated.tables import ROOT, table


def study(name: str) -> str:
    """The tables and verdicts of a study, from the results there are."""
    return report(name, store.read(ROOT / "docs" / "_generated" / "studies"))


def study_in_short() -> str:
    """What each study has found, in a sentence or two."""
    results = store.read(ROOT / "docs" / "_generated" / "studies")
    claims = ["1. light", "2. better features", "3. fits and helps everywhere", "4. “it trains, only worse”"]
    rows = [[claim, in_short(study, results)] for claim, study in zip(claims, STUDIES, strict=True)]
    return table(["claim", "measured here"], rows)


def study_light() -> str:
    """Claim 1."""
    return study("light")


def study_features() -> str:
    """Claim 2."""
    return study("features")


def study_everywhere() -> str:
    """Claim 3."""
    return study("everywhere")


def study_bugs() -> str:
    """Claim 4."""
    return study("bugs")
