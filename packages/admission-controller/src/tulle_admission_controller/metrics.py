"""A few counters in the Prometheus text format (0.0.4), kept as plain ints."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts reviews. Dry runs are counted apart: nothing came of them."""

    def __init__(self) -> None:
        self._reviews: Counter[tuple[str, str, bool]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def reviewed(self, endpoint: str, outcome: str, *, dry_run: bool, seconds: float) -> None:
        """Counts one review: `endpoint` is mutate or validate, `outcome` the decision's word."""
        self._reviews[endpoint, outcome, dry_run] += 1
        self._seconds[endpoint] += seconds

    def render(self, not_after: datetime, authorities: int) -> str:
        """The page. `not_after`: end of the served certificate; `authorities`: how many are in the bundle."""
        lines = [
            "# HELP tulle_admission_reviews_total Reviews answered.",
            "# TYPE tulle_admission_reviews_total counter",
        ]
        for (endpoint, outcome, dry_run), count in sorted(self._reviews.items()):
            labels = f'endpoint="{endpoint}",outcome="{outcome}",dry_run="{str(dry_run).lower()}"'
            lines.append(f"tulle_admission_reviews_total{{{labels}}} {count}")
        lines += [
            "# HELP tulle_admission_review_seconds_total Time spent on answering.",
            "# TYPE tulle_admission_review_seconds_total counter",
        ]
        for endpoint, seconds in sorted(self._seconds.items()):
            lines.append(f'tulle_admission_review_seconds_total{{endpoint="{endpoint}"}} {seconds:.6f}')
        lines += [
            "# HELP tulle_admission_certificate_not_after_timestamp_seconds When the served certificate ends.",
            "# TYPE tulle_admission_certificate_not_after_timestamp_seconds gauge",
            f"tulle_admission_certificate_not_after_timestamp_seconds {not_after.timestamp():.0f}",
            "# HELP tulle_admission_ca_bundle_certificates Authorities in the published bundle.",
            "# TYPE tulle_admission_ca_bundle_certificates gauge",
            f"tulle_admission_ca_bundle_certificates {authorities}",
        ]
        return "\n".join(lines) + "\n"
