"""Personal data by its shape: e-mail addresses, telephone, card and account numbers, addresses of machines.

Card numbers must pass Luhn's check, account numbers the IBAN's mod 97, so that long numbers of other kinds are
left alone. Names of people are beyond patterns; nothing found is no promise that nothing is there.
"""

from __future__ import annotations

import ipaddress
import re

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
PHONE = re.compile(
    r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?|\d{2,4}[ .-])\d{2,4}[ .-]?\d{3,5}(?![\w.]\d|\d)"
)
INTERNATIONAL = re.compile(r"(?<!\w)\+\d{1,3}[ .-]?(?:\d[ .-]?){7,12}\d(?!\d)")
CARD = re.compile(r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
IP = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)")
NATIONAL = re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")  # US social security


def found(text: str) -> list[str]:
    """The kinds of personal data in the text, in alphabetical order."""
    if "@" not in text and not any(c.isdigit() for c in text):
        return []
    kinds = {
        "address of a machine": any(_is_host(m) for m in IP.findall(text)),
        "card number": any(_luhn(m) for m in CARD.findall(text)),
        "e-mail address": bool(EMAIL.search(text)),
        "account number": any(_mod97(m) for m in IBAN.findall(text)),
        "social security number": bool(NATIONAL.search(text)),
        "telephone number": bool(INTERNATIONAL.search(text)) or any(_dialled(m) for m in PHONE.findall(text)),
    }
    return sorted(kind for kind, there in kinds.items() if there)


def _dialled(number: str) -> bool:
    """Ten digits or more in groups: fewer is a date, a price or a range as often as a telephone."""
    digits = re.sub(r"\D", "", number)
    return len(digits) >= 10 and (number.startswith(("+", "(")) or number.count("-") + number.count(" ") >= 2)


def _luhn(number: str) -> bool:
    digits = [int(c) for c in number if c.isdigit()]
    if len(set(digits)) < 2:
        return False
    doubled = [d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _mod97(number: str) -> bool:
    plain = number.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_host(number: str) -> bool:
    try:
        return not ipaddress.ip_address(number).is_unspecified and number != "127.0.0.1"
    except ValueError:
        return False
