"""Numbers and tables for people."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell, two spaces between them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def markdown_row(cells: Sequence[str]) -> str:
    """`| a | b |`"""
    return f"| {' | '.join(cells)} |"


def in_units(amount: float, unit: str = "", base: int = 1000) -> str:
    """`94.7 M`: three digits and the prefix that fits; with a base of 1024 the prefixes are Ki, Mi, ..."""
    prefixes = ("", "k", "M", "G", "T") if base == 1000 else ("", "Ki", "Mi", "Gi", "Ti")
    power = 0
    while abs(amount) >= base and power < len(prefixes) - 1:
        amount, power = amount / base, power + 1
    digits = f"{amount:.0f}" if power == 0 or amount >= 100 else f"{amount:.3g}"
    return f"{digits} {prefixes[power]}{unit}".rstrip()
