"""Seconds in words."""


def duration(seconds: float) -> str:
    """A duration as a person says it, in its two largest units.

    Examples:
        >>> from advprop.runtime import duration
        >>> duration(7.4), duration(200), duration(7800), duration(300_000)
        ('7 s', '3 min 20 s', '2 h 10 min', '3 d 11 h')
    """
    left = max(0, round(seconds))
    if left >= 86_400:
        left = round(left / 3600) * 3600
    elif left >= 3600:
        left = round(left / 60) * 60
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts += [f"{count} {unit}"] * bool(count)
    return " ".join(parts[:2]) or "0 s"
