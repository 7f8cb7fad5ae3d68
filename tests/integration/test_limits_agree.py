"""What the annotation tulle.dev/proxy-limits may say is what the proxy takes: names, ranges, defaults, all values."""

import pytest
from tulle_admission_controller import limits as annotation
from tulle_data_plane.limits import LIMITS
from tulle_data_plane.settings import BadSettings, Settings, from_environment


def test_the_tables_are_the_same():
    ours = {
        limit.setting.replace("_", "-"): (getattr(Settings(), limit.setting), limit.low, limit.high, limit.unit)
        for limit in LIMITS
    }
    assert {name: tuple(row) for name, row in annotation.LIMITS.items()} == ours


@pytest.mark.parametrize("name", annotation.LIMITS)
@pytest.mark.parametrize(
    "text", ["low", "high", "1000.5", ".5", "5.", "1e3", "-1", "+7", "nan", "", "٨", "1_000", "0" * 20 + "1024"]
)
def test_what_is_admitted_starts_a_proxy(name, text):
    limit = annotation.LIMITS[name]
    text = {"low": f"{limit.low:.9g}", "high": f"{limit.high:.9g}"}.get(text, text)
    said = f"{name}={text}"
    if name == "request-line-bytes":
        said += ",head-bytes=1048576"
    elif name == "head-bytes":
        said += ",request-line-bytes=256"
    try:
        environment = dict(annotation.variables(annotation.parse_limits(said)))
    except annotation.LimitsError:
        assert text not in (f"{limit.low:.9g}", f"{limit.high:.9g}")
        return
    settings = from_environment(environment)
    assert getattr(settings, name.replace("-", "_")) == float(text)


def test_a_line_that_no_head_can_hold_is_refused_by_both():
    with pytest.raises(annotation.LimitsError, match="is more than head-bytes"):
        annotation.parse_limits("head-bytes=8192")
    with pytest.raises(BadSettings):
        from_environment({"TULLE_HEAD_BYTES": "8192"})
