"""A certificate: does an upstream keep the promises of upstream/README.md, and what does it cost?

    python -m s3prl.upstream.check -u hubert
    python -m s3prl.upstream.check -u my_model -k weights.pt       a folder dropped into upstream/
    python -m s3prl.upstream.check -u path/to/my_model -k weights.pt
    python -m s3prl.upstream.check --table -u fbank mfcc tera      one line of markdown each

Exit code: 0 all promises kept, 1 one is broken, 2 an upstream cannot be built.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from s3prl.utility.arguments import command_parser
from s3prl.utility.device import choose_device
from s3prl.utility.errors import UserError, command

from .tools import cost
from .tools.contract import Finding, examine
from .tools.models import build
from .tools.options import add_variants
from .tools.text import in_units, markdown_row

NONE = "-"
COLUMNS = ("upstream", "kept", "alone = batched", "frames", "output", "parameters", "MACs/s", "RTF", "memory")


@dataclass(frozen=True)
class Certificate:
    """All that is found out about one upstream."""

    name: str
    findings: list[Finding]
    parameters: int
    macs: float  # for a second of audio
    real_time_factor: float
    memory: int  # bytes

    @property
    def kept(self) -> bool:
        """Whether every promise is kept."""
        return all(finding.kept for finding in self.findings)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Examine the upstreams of the command line."""
    options = parse_arguments(argv)
    device = choose_device(options.device)
    variants = {
        "refresh": options.upstream_refresh,
        "alone": options.upstream_alone,
        "public_batch": options.upstream_public_batch,
    }
    codes = []
    if options.table:
        print(markdown_row(COLUMNS), markdown_row(["---"] * len(COLUMNS)), sep="\n")
    for request in requests(options):
        try:
            certificate = certify(*request, device, variants)
        except UserError as error:
            if len(options.upstream) == 1:
                raise
            print(f"{request[0]}: {error}", file=sys.stderr)
            codes.append(2)
            continue
        print(markdown(certificate) if options.table else page(certificate, device), flush=True)
        codes.append(0 if certificate.kept else 1)
    return max(codes)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("check", __doc__)
    add = parser.add_argument
    add("-u", "--upstream", nargs="+", required=True, metavar="NAME", help="names, or folders of upstreams")
    add("-k", "--upstream_ckpt", nargs="+", metavar="FILE", help=f"a checkpoint for each -u ({NONE}: none)")
    add(
        "-g", "--upstream_model_config", nargs="+", metavar="YAML",
        help=f"a configuration for each -u ({NONE}: none)",
    )  # fmt: skip
    add_variants(parser)
    add("--device", help="cuda, cpu, ... (default: cuda if there is one, else cpu)")
    add("--table", action="store_true", help="one row of markdown for each")
    return parser.parse_args(argv)


def requests(options: argparse.Namespace) -> list[tuple[str, str | None, str | None]]:
    """(name, ckpt, model_config) of every upstream asked for."""
    lists = [options.upstream]
    for flag, values in (("-k", options.upstream_ckpt), ("-g", options.upstream_model_config)):
        values = values or [NONE] * len(options.upstream)
        if len(values) != len(options.upstream):
            raise UserError(
                f"{flag} has {len(values)} value(s) for {len(options.upstream)} upstream(s). Give one each, "
                f"{NONE} for none."
            )
        lists.append([None if value == NONE else value for value in values])
    return list(zip(*lists, strict=True))


def certify(
    name: str, ckpt: str | None, model_config: str | None, device: str, variants: dict[str, bool]
) -> Certificate:
    """Build an upstream, examine it and measure what it costs; nan for what cannot be measured.

    Args:
        name, ckpt, model_config, variants: see `build_upstream`.
    """
    torch.manual_seed(0)  # a model without checkpoint has random weights
    request = (name, ckpt, model_config)
    upstream = build(*request, device, **variants)
    variants = {**variants, "refresh": False}  # it need not be fetched twice
    findings = examine(upstream)
    runs = findings[0].kept
    nan = float("nan")
    return Certificate(
        name,
        findings,
        cost.parameters(upstream),
        cost.macs_per_second(upstream, device) if runs else nan,
        cost.real_time_factor(upstream, device) if runs else nan,
        cost.peak_memory(upstream, request, device, variants) if runs else nan,
    )


def page(certificate: Certificate, device: str) -> str:
    """The certificate for people."""
    on_gpu = device.startswith("cuda")
    where = torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} thread(s)"
    counted = "torch.cuda.max_memory_allocated" if on_gpu else "resident memory of a process of its own"
    lines = [f"{certificate.name} on {where}", ""]
    for finding in certificate.findings:
        lines.append(f"  {'kept' if finding.kept else 'BROKEN':7} {finding.title:16} {finding.detail}")
    lines += [
        "",
        f"  parameters        {in_units(certificate.parameters)}",
        f"  MACs              {in_units(certificate.macs)} per second of audio",
        f"  real-time factor  {certificate.real_time_factor:.2g} (one utterance of {cost.SECONDS} s)",
        f"  peak memory       {in_units(certificate.memory, 'B', 1024)} beyond the model ({counted})",
        "",
        f"  {cost.MACS_NOTE}",
    ]
    broken = sum(not finding.kept for finding in certificate.findings)
    return "\n".join([*lines, "", f"{broken} promise(s) broken" if broken else "all promises kept"])


def markdown(certificate: Certificate) -> str:
    """One row of COLUMNS."""
    details = {finding.title: finding for finding in certificate.findings}
    shown = [details[title] for title in ("alone = batched", "frames", "output")]
    broken = [finding.title for finding in certificate.findings if not finding.kept]
    return markdown_row(
        [
            certificate.name,
            f"no: {', '.join(broken)}" if broken else "yes",
            *(finding.detail for finding in shown),
            in_units(certificate.parameters),
            in_units(certificate.macs),
            f"{certificate.real_time_factor:.2g}",
            in_units(certificate.memory, "B", 1024),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
