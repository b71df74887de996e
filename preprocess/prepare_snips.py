"""Prepare Audio SNIPS (Lai et al., 2020) for slot filling: recordings at 16 kHz, sentences in letters.

    python preprocess/prepare_snips.py /my/corpora --annotations FOLDER --audio audio_slu_v3.zip

writes /my/corpora/SNIPS: {train,valid,test}/<Speaker>-snips-<split>-<number>.wav, all.iob.snips.txt,
slots.txt and all-trans.txt. Recordings that are there already are kept, so that the same command continues
after an interruption.

--annotations holds the tables nlu_annotation/{train,valid,test}; --audio the folders audio_<Speaker>/snips of
.mp3 files (audio_slu_v3.zip). Each is a folder, a zip archive or the URL of one; without these options they
are looked for in the folder of the corpora.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

import soundfile

from s3prl.preprocess.mini.corpus import each
from s3prl.preprocess.snips_source import (
    ANNOTATIONS,
    Sentence,
    find_recordings,
    read_recording,
    read_sentences,
)
from s3prl.preprocess.snips_text import normalized
from s3prl.utility.arguments import command_parser
from s3prl.utility.audio import SAMPLE_RATE, AudioError
from s3prl.utility.config import expand_variables
from s3prl.utility.download import download
from s3prl.utility.errors import UserError, command
from s3prl.utility.files import partial_of, remove_partial_files, write_atomically
from s3prl.utility.snips import (
    INTENTS,
    OUTSIDE,
    SENTENCES,
    SLOTS,
    SLOTS_FILE,
    SPEAKERS,
    TEXTS,
    TRANSCRIPTS,
    TaggedWord,
)

FOLDER = "SNIPS"
ARCHIVE = "audio_slu_v3"
WAV_HEADER = 44  # bytes; a file that is no longer was cut off by a crash
TOGETHER = 100  # recordings that a process converts at a time
NAMED = 10  # problems that are told one by one


@dataclass(frozen=True)
class _Chunk:
    """What one process converts at a time."""

    source: Path
    files: tuple[tuple[str, Path], ...]  # name in the source, and the .wav file to write


@dataclass(frozen=True)
class _Prepared:
    """A sentence as it is said."""

    words: list[TaggedWord]
    intent: str


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("snips", __doc__)
    parser.add_argument(
        "corpora", nargs="?", type=Path, default=None,
        help="folder of the corpora; default: the variable S3PRL_CORPORA, or data",
    )  # fmt: skip
    parser.add_argument("--annotations", help="folder, zip archive or URL with the tables of sentences")
    parser.add_argument("--audio", help="folder, zip archive or URL with the .mp3 files")
    parser.add_argument("--output", type=Path, help=f"what to write; default: {FOLDER} in the corpora folder")
    parser.add_argument("--n_jobs", type=int, default=-1, help="processes; -1 for one per CPU")
    parser.add_argument(
        "--every_speaker", action="store_true",
        help="convert each split by all 16 speakers, not only by those whom the benchmark puts there",
    )  # fmt: skip
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the corpus; returns 1 when some recordings are missing or unreadable, else 0."""
    options = _parser().parse_args(arguments)
    corpora = (options.corpora or Path(expand_variables("${S3PRL_CORPORA}"))).expanduser()
    output = (options.output or corpora / FOLDER).expanduser()
    places = [ANNOTATIONS, f"*/{ANNOTATIONS}", f"*/*/{ANNOTATIONS}"]
    annotations = _source(options.annotations, "--annotations", corpora, places)
    audio = _source(options.audio, "--audio", corpora, [f"{ARCHIVE}.zip", ARCHIVE, "audio_slu*"])
    speakers = {
        split: sorted(chain(*SPEAKERS.values())) if options.every_speaker else names
        for split, names in SPEAKERS.items()
    }
    sentences = {split: read_sentences(annotations, split) for split in SPEAKERS}
    _warn_of_unofficial(sentences)
    output.mkdir(parents=True, exist_ok=True)
    _write_texts(output, sentences, speakers)
    problems = _convert_all(output, sentences, speakers, audio, options.n_jobs)
    for problem in problems[:NAMED]:
        print(problem, file=sys.stderr)
    if problems:
        more = f" ({len(problems) - NAMED} more than named here)" if len(problems) > NAMED else ""
        print(
            f"error: {len(problems)} recordings could not be made{more}. Restore them in {audio} and run "
            "the same command again: it makes only what is missing.",
            file=sys.stderr,
        )
        return 1
    return 0


def _source(given: str | None, option: str, corpora: Path, places: Iterable[str]) -> Path:
    """The folder or archive that an option names, fetched if it is a URL; without it, a usual place."""
    if given is None:
        found = next(chain.from_iterable(sorted(corpora.glob(place)) for place in places), None)
        if found is None:
            raise UserError(
                f"{option} is needed: {corpora.absolute()} has none of {', '.join(places)}. Get Audio SNIPS "
                "from its authors (Lai et al., 2020; this toolkit knows no address of it) and name a folder, "
                f"a zip archive or the URL of one with {option}."
            )
        return found
    if given.startswith(("http://", "https://")):
        corpora.mkdir(parents=True, exist_ok=True)
        return download(given, corpora)
    path = Path(given).expanduser()
    if not path.exists():
        raise UserError(f"{option} {given} does not exist. Give a folder, a zip archive or the URL of one.")
    return path


def _warn_of_unofficial(sentences: dict[str, list[Sentence]]) -> None:
    """Say where the annotations are not those of the benchmark."""
    everything = list(chain.from_iterable(sentences.values()))
    counts = [(f"{split} sentences", len(sentences[split]), SENTENCES[split]) for split in SPEAKERS]
    counts.append(("intents", len({sentence.intent for sentence in everything}), INTENTS))
    counts.append(("tags", len({tag for sentence in everything for _, tag in sentence.words}), SLOTS))
    for what, found, official in counts:
        if found != official:
            print(f"note: {found} {what}; the benchmark has {official}.", file=sys.stderr)


def _write_texts(
    output: Path, sentences: dict[str, list[Sentence]], speakers: dict[str, Sequence[str]]
) -> None:
    """all.iob.snips.txt and all-trans.txt, a line for each recording, and slots.txt."""
    lines, plain = [], []
    tags: Counter[str] = Counter()
    for split, found in sentences.items():
        prepared = {one.utterance: _Prepared(normalized(one.words), one.intent) for one in found}
        for one in prepared.values():
            tags.update(tag for _, tag in one.words)
        for speaker in speakers[split]:
            for utterance, one in prepared.items():
                words = " ".join(word for word, _ in one.words)
                slots = " ".join([OUTSIDE, *(tag for _, tag in one.words), one.intent])
                lines.append(f"{speaker}-{utterance} BOS {words} EOS\t{slots}\n")
                plain.append(f"{speaker}-{utterance} {words}\n")
    slots = [OUTSIDE, *sorted(tags.keys() - {OUTSIDE}, key=lambda tag: (-tags[tag], tag))]
    files = {TEXTS: lines, TRANSCRIPTS: plain, SLOTS_FILE: [f"{slot}\n" for slot in slots]}
    for name, content in files.items():
        write_atomically(output / name, lambda file, content=content: file.write("".join(content).encode()))
        print(f"{output / name}: {len(content)} lines")


def _convert_all(
    output: Path,
    sentences: dict[str, list[Sentence]],
    speakers: dict[str, Sequence[str]],
    audio: Path,
    n_jobs: int,
) -> list[str]:
    """Make the recordings that are not there; returns what could not be made, and why."""
    recordings = find_recordings(audio)
    problems, wanted = [], []
    for split, found in sentences.items():
        folder = output / split
        folder.mkdir(exist_ok=True)
        remove_partial_files(folder)
        finished = {path.name for path in folder.iterdir() if path.stat().st_size > WAV_HEADER}
        for speaker in speakers[split]:
            for sentence in found:
                name = f"{speaker}-{sentence.utterance}"
                if f"{name}.wav" in finished:
                    continue
                if (place := recordings.get((speaker, sentence.utterance))) is None:
                    problems.append(f"{name}: there is no recording of it in {audio}.")
                else:
                    wanted.append((place, folder / f"{name}.wav"))
    chunks = [
        _Chunk(audio, tuple(wanted[start : start + TOGETHER])) for start in range(0, len(wanted), TOGETHER)
    ]
    for found in each(_convert, chunks, n_jobs, "recordings", unit=f"parts of {TOGETHER}"):
        problems += found
    for split in sentences:
        print(f"{output / split}: {sum(1 for _ in (output / split).glob('*.wav'))} recordings")
    return problems


def _convert(chunk: _Chunk) -> list[str]:
    """Write .wav files of 16 bit; returns what could not be read."""
    problems = []
    for name, target in chunk.files:
        try:
            samples = read_recording(chunk.source, name)
        except AudioError as error:
            problems.append(str(error))
            continue
        partial = partial_of(target)
        soundfile.write(partial, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
        partial.replace(target)
    return problems


if __name__ == "__main__":
    sys.exit(main())
