from __future__ import annotations

from corral.domain import errors


def test_every_error_has_its_own_code_in_the_range_of_its_kind() -> None:
    classes = errors.by_code()
    ours = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.CorralError)]
    assert len(classes) == len(ours) - 1  # the root itself is never raised
    for code, cls in classes.items():
        assert 400 <= cls.http_status < 600 and cls.exit_status in {1, 2, 3, 4, 5}, code


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    text = errors.__doc__ or ""
    for code, cls in errors.by_code().items():
        line = next(line for line in text.splitlines() if f" {cls.__name__} " in line)
        assert str(code) in line and f"HTTP {cls.http_status}" in line and f"exit {cls.exit_status}" in line, line
