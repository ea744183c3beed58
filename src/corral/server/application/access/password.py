"""What a password must be. Length counts and little else does: rules about character classes make people write things down."""

from __future__ import annotations

from typing import Final

from corral.domain.errors import Invalid

CHARACTERS_MIN: Final = 12
BYTES_MAX: Final = 1024
"""Hashing is slow on purpose; it must not be slower for whoever sends a megabyte."""
# The commonest ones of published leaks that are long enough, as they are or said twice. Lower case.
COMMON: Final = frozenset(
    [
        "123456789012",
        "1234567890123",
        "12345678901234",
        "123456789123",
        "1234567891234",
        "123123123123",
        "111111111111",
        "000000000000",
        "098765432109",
        "121212121212",
        "1q2w3e4r5t6y",
        "1qaz2wsx3edc",
        "1qazxsw23edc",
        "qwertyuiop12",
        "qwertyuiop123",
        "qwertyuiop[]",
        "qwerty123456",
        "qwerty1234567",
        "qwertyuiopas",
        "asdfghjkl123",
        "zxcvbnm12345",
        "q1w2e3r4t5y6",
        "abcdefghijkl",
        "abcd12345678",
        "abc123456789",
        "a1b2c3d4e5f6",
        "password1234",
        "password12345",
        "password123456",
        "passwordpassword",
        "password123!",
        "password2024",
        "password2025",
        "password2026",
        "passw0rd1234",
        "p@ssw0rd1234",
        "p@ssword1234",
        "iloveyou1234",
        "iloveyouiloveyou",
        "letmein12345",
        "letmeinletmein",
        "welcome12345",
        "welcome123456",
        "welcomewelcome",
        "administrator",
        "administrator1",
        "admin1234567",
        "admin123456789",
        "adminadminadmin",
        "root12345678",
        "rootrootroot",
        "changeme1234",
        "changemechangeme",
        "changeitchangeit",
        "default12345",
        "test12345678",
        "testtesttest",
        "temp12345678",
        "secret123456",
        "secretsecret",
        "sunshine1234",
        "princess1234",
        "football1234",
        "baseball1234",
        "superman1234",
        "dragon123456",
        "monkey123456",
        "master123456",
        "trustno1trustno1",
        "whatever1234",
        "starwars1234",
        "liverpool123",
        "manchester12",
        "correcthorsebatterystaple",
    ]
)


def check_password(password: str, *, name: str, element: str = "password") -> None:
    """Raises Invalid, and says what is wrong without repeating the password."""
    cause = _weakness(password, name)
    if cause is not None:
        raise Invalid(
            f"cannot use this password: {cause}",
            element=element,
            hint=f"use at least {CHARACTERS_MIN} characters; four words that do not belong together are easy to remember",
        )


def check_size(password: str, *, element: str = "password") -> None:
    """What is not even looked at. Raises Invalid."""
    if len(password) > BYTES_MAX or len(password.encode("utf-8", "surrogatepass")) > BYTES_MAX:
        raise Invalid(f"cannot use this password: it is longer than {BYTES_MAX} bytes", element=element)


def _weakness(password: str, name: str) -> str | None:
    if len(password) > BYTES_MAX or len(password.encode("utf-8", "surrogatepass")) > BYTES_MAX:
        return f"it is longer than {BYTES_MAX} bytes"
    if "\0" in password or not password.isprintable():
        return "it holds characters that cannot be typed"
    if len(password) < CHARACTERS_MIN:
        return f"it is shorter than {CHARACTERS_MIN} characters"
    folded = password.casefold().strip()
    if folded == name.casefold() or (name and folded.replace(name.casefold(), "") == ""):
        return "it is the user's name"
    if len(set(password)) < 4:
        return "it is made of too few different characters"
    if folded in COMMON:
        return "it is one of the commonest passwords"
    return None
