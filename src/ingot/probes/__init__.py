"""Probes: what a model answers where its principles matter, judged by rules and by another model.

    probe --ask--> answer --rules: pure predicates----------> kept or broken     } figures: a score for each area,
                          --judge: a verdict of one schema--> kept or broken     } its interval, and how both agree

The probes are data, one file an area, and a file of one's own may take their place. A rule is cheap, always the same, and
blind to meaning; a judge sees meaning and errs: so both are told, and where they differ.
"""

from ingot.probes.figures import Figures, Tally, compared, figures_of, wilson
from ingot.probes.judging import JUDGED, Judged, judge_request, read_verdict
from ingot.probes.probe import AREAS, BadProbes, Probe, read_probes, shipped
from ingot.probes.run import Asked, Outcome, Plan, Silent, run

__all__ = [
    "AREAS",
    "JUDGED",
    "Asked",
    "BadProbes",
    "Figures",
    "Judged",
    "Outcome",
    "Plan",
    "Probe",
    "Silent",
    "Tally",
    "compared",
    "figures_of",
    "judge_request",
    "read_probes",
    "read_verdict",
    "run",
    "shipped",
    "wilson",
]
