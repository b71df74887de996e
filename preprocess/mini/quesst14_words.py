"""What is said in the miniature of QUESST 2014: long words of its six languages."""

from typing import NamedTuple


class Words(NamedTuple):
    """Of one language; no word is in two of the lists."""

    accents: tuple[str, ...]  # voices of eSpeak NG
    alone: tuple[str, ...]  # each of them is a query
    paired: tuple[str, ...]  # any two of them, in this or that order, are a query
    other: tuple[str, ...]  # stand in documents only
    links: tuple[str, ...]  # short words between the others


def _words(accents: str, alone: str, paired: str, other: str, links: str) -> Words:
    return Words(*(tuple(text.split()) for text in (accents, alone, paired, other, links)))


WORDS = {
    "albanian": _words(
        accents="sq",
        alone="universiteti ministria televizioni ekonomia republika fotografia",
        paired="familja politika kryetari qeveria organizata popullsia",
        other="sigurisht profesori biblioteka muzika letërsia temperatura",
        links="dhe në me për nga",
    ),
    "basque": _words(
        accents="eu",
        alone="unibertsitatea liburutegia telebista ekonomia musikaria errepublika",
        paired="gobernua lehendakaria irakaslea ikaslea mendizalea herritarrak",
        other="eguraldia jatetxea garraioa historia elkartea argazkia",
        links="eta ere baina oso hemen",
    ),
    "czech": _words(
        accents="cs",
        alone="společnost nemocnice republika televize univerzita ekonomika",
        paired="ministerstvo prezident obyvatelé hospodářství zahraniční literatura",
        other="budoucnost příležitost knihovna fotografie zaměstnanec organizace",
        links="také pro nebo ale jako",
    ),
    "nnenglish": _words(
        accents="en-us en-029 en-gb-scotland en-gb-x-gbcwmd en-us-nyc en-gb-x-rp",
        alone="accommodation activity administration agricultural alternative ambassador anniversary "
        "apartment apology architecture assessment battery biography calculation calendar category "
        "celebration chemistry communication comparison democracy discovery electricity emergency "
        "engineering equipment expedition geography hospital imagination independence industrial legislation "
        "manufacturer mathematics memory mysterious negotiation opportunity philosophy photographer "
        "radiology recovery satellite technology ventilator",
        paired="academic advertising capital character commercial community computer condition constitution "
        "cooperation department development director economic education election energy experience "
        "financial foundation government historical ideology influence information institute "
        "international laboratory liability management material medical military minister national official "
        "operation parliament performance political president professor regional security society "
        "university",
        other="afterwards animal banana beautiful butterfly carefully company different difficult "
        "dinosaur elephant exactly family general important january library musical necessary november "
        "october particular piano possible potato probably september seventeen similar somebody suddenly "
        "tomorrow umbrella usually vegetable victory volcano wonderful yesterday",
        links="the and with from about",
    ),
    "romanian": _words(
        accents="ro",
        alone="universitatea biblioteca televiziunea economia temperatura republica",
        paired="guvernul ministerul profesorul literatura populația internațional",
        other="fotografia posibilitatea organizația sănătatea istoria dezvoltarea",
        links="și în cu pentru sau",
    ),
    "slovak": _words(
        accents="sk",
        alone="spoločnosť nemocnica republika televízia univerzita ekonomika",
        paired="ministerstvo prezident obyvatelia hospodárstvo zahraničný literatúra",
        other="budúcnosť príležitosť knižnica fotografia zamestnanec organizácia",
        links="tiež pre alebo ale ako",
    ),
}
