"""What identifies a patient, in disguises: canaries that no output may hold."""

import base64
import codecs
import dataclasses
import re
import unicodedata
from itertools import permutations

NAMES = ("Quastenflößer^Jörg", "Müllerová^Žofie", "Иванцов^Пётр", "李伟明", "山田^太郎")
OTHERS = {
    "OtherPatientNames": "Zwetschgenbaum",
    "OperatorsName": "Xylander^Olga",
    "ReferringPhysicianName": "Hrdlicka^Wanda",
    "InstitutionName": "StQuirinHospital",
    "StationName": "NUKGAMMA7",
}
NUMBERS = {
    "PatientID": "A7654321",
    "AccessionNumber": "5544332",
    "DeviceSerialNumber": "SN998877",
    "StudyID": "S0031337",
}
BIRTH_DATE = "19410317"
_TRANSLITERATED = str.maketrans({"ö": "oe", "ü": "ue", "ß": "ss"})
_LEET = str.maketrans("aeostl", "430571")
_HOMOGLYPHS = str.maketrans("aeopcx", "аеорсх")
_FULL_WIDTH = {ord("!") + i: 0xFF01 + i for i in range(94)}
_ARABIC_DIGITS = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "gb18030", "shift_jis")


@dataclasses.dataclass(frozen=True)
class Canary:
    """A text that no output may hold.

    Attributes:
        secret: whose it is.
        disguise: how it is hidden.
        text: what a file holds.
    """

    secret: str
    disguise: str
    text: str


def fold(text):
    """A text without accents and capitals."""
    letters = unicodedata.normalize("NFKD", text)
    return "".join(c for c in letters if not unicodedata.combining(c)).lower()


def disguise_name(name):
    """Yields disguise and text for a person's name."""
    parts = name.split("^")
    family, given = parts[0], parts[-1]
    yield "as it is", name
    yield "family name", family
    yield "given name", f"{given} {given}"
    yield "joined", given + family
    yield "turned", f"{family}, {given}"
    yield "beside a tracer", f"MDP {family}"
    yield "before a tracer", f"{family}-MDP"
    yield "between words", f"Tc-99m {family} MDP"
    yield "capitals", name.upper()
    yield "small", name.lower()
    yield "backwards", family[::-1]
    yield "decomposed", unicodedata.normalize("NFD", name)
    yield "without accents", fold(family)
    yield "transliterated", family.lower().translate(_TRANSLITERATED)
    yield "first half", family[: (len(family) + 1) // 2] * 2
    yield "leet", fold(family).translate(_LEET)
    yield "homoglyphs", family.translate(_HOMOGLYPHS)
    yield "full width", family.translate(_FULL_WIDTH)
    yield "zero width", "\u200b".join(family)
    yield "soft hyphens", "\u00ad".join(family)
    yield "spaced", " ".join(family)
    yield "dotted", ".".join(family)
    yield "right to left", f"\u202e{family[::-1]}"
    yield "initials and year", f"{given[0]}{family[0]}{BIRTH_DATE[:4]}"
    yield "base64", base64.b64encode(family.encode()).decode()
    yield "hex", family.encode().hex()
    yield "rot13", codecs.encode(fold(family), "rot13")
    yield "percent", "".join(f"%{b:02X}" for b in family.encode())
    yield "control characters", "\x1b[8m".join((family, given))


def disguise_number(number):
    """Yields disguise and text for an identifier of digits, perhaps behind letters."""
    digits = re.sub("[^0-9]", "", number)
    yield "as it is", number
    yield "digits", digits
    yield "hyphen", f"{number[:-7]}{digits[:3]}-{digits[3:]}"
    yield "blanks", " ".join(digits)
    yield "points", f"{digits[:-6]}.{digits[-6:-3]}.{digits[-3:]}"
    yield "beside a tracer", f"MDP {digits}"
    yield "last part", digits[-5:]
    yield "backwards", digits[::-1]
    yield "hex", f"{int(digits):x}"
    yield "Arabic digits", digits.translate(_ARABIC_DIGITS)
    yield "full width", digits.translate(_FULL_WIDTH)
    yield "zero padded", f"{digits:0>12}"
    yield "zero width", "\u200b".join(digits)


def disguise_date(date):
    """Yields format and text for a date, YYYYMMDD."""
    year, month, day = date[:4], date[4:6], date[6:]
    for order in permutations((year, month, day)):
        for mark in ("", ".", "/", "-"):
            yield mark.join(order), mark.join(order)
    yield "short", f"{day}.{month}.{year[2:]}"
    yield "short, digits", f"{year[2:]}{month}{day}"
    yield "words", f"{int(day)} March {year}"
    yield "words, German", f"{int(day)}. März {year}"
    yield "abbreviated", f"{day}-MAR-{year}"
    yield "Chinese", f"{year}年{int(month)}月{int(day)}日"
    yield "year", f"born {year}"
    yield "beside a tracer", f"MDP {day}.{month}.{year}"
    yield "time", f"{date}T081500"


def make_canaries():
    """Returns canaries by disguise, those of each for all that it fits.

    The order never changes.
    """
    people = {f"PatientName {n}": name for n, name in enumerate(NAMES)} | OTHERS
    groups = (
        ("name", people, disguise_name),
        ("number", NUMBERS, disguise_number),
        ("date", {"PatientBirthDate": BIRTH_DATE}, disguise_date),
    )
    found = {}
    for group, secrets, disguise in groups:
        for secret, value in secrets.items():
            for how, text in disguise(value):
                canary = Canary(secret, f"{group}, {how}", text)
                found.setdefault(canary.disguise, []).append(canary)
    return found


def spell(text):
    """Returns what an output that holds a text may hold: its forms in all encodings."""
    forms = {text, text.lower(), fold(text), text.upper()}
    forms |= {unicodedata.normalize(f, text) for f in ("NFC", "NFD", "NFKC", "NFKD")}
    forms |= {re.sub(r"[\W_]+", "", form) for form in forms}
    forms |= {form.encode("unicode_escape").decode() for form in forms}
    spelt = set()
    for form in forms:
        for encoding in ENCODINGS:
            try:
                spelt.add(form.encode(encoding).lower())
            except UnicodeEncodeError:
                continue
    return {form for form in spelt if len(form) >= 4}


def without_pseudonyms(content):
    """Returns bytes, small, without the random digits of UIDs and pseudonyms."""
    return re.sub(rb"2\.25\.\d+|[0-9a-f]{16}", b"", content.lower())
