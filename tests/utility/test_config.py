"""YAML that no config can hold is told in one message with file and line; what people write is read."""

import pytest

from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

LEVELS = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "my.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_yaml(tmp_path / "my.yaml")

    return read


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a [*a]", "line 1): the anchor contains itself"),
        ("a: 1\nb: &b {c: *b}", "line 2): the anchor contains itself"),
        ("a: " + "[" * 60 + "]" * 60, "nests more than 50 levels"),
        ("a: " + "[" * 5000 + "]" * 5000, "nests more than 50 levels"),
        ("a: 1\nb: " + "9" * 5000, "line 2): a number of 5000 digits"),
        (".nan: 1", "'.nan' cannot be the name"),
        ("a: {~: 1}", "'~' cannot be the name"),
        ("[1, 2]: 3", "not a list or a section"),
        ("runner:\n  lr: 1\n  lr: 2", "line 3): the field 'lr' stands twice"),
        (f"a0: &a0 [1, 2, 3]\n{LEVELS}", "stand for more than 100000 values"),
        ("a:\n\tb: 1", "line 2): found character '\\t' that cannot start any token. Indent with blanks"),
        (b"a: \xff", "not a text in UTF-8"),
        ("a: \0", "special characters are not allowed"),
        ("a: [1", "expected ',' or ']'"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: !!int many", "many"),
        ("a: !!bool maybe", "maybe"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("- a", "must hold fields"),
    ],
)
def test_what_is_no_config_is_refused_with_the_reason(read, text, reason):
    with pytest.raises(UserError) as error:
        read(text)
    assert "my.yaml" in str(error.value) and reason in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", {}),
        ("lr: 1e-3", {"lr": 1e-3}),
        ("since: 2020-01-31", {"since": "2020-01-31"}),
        ("1: {yes: 2}", {1: {True: 2}}),
        ("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: *a", {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 1}}),
    ],
)
def test_what_people_write_is_read(read, text, content):
    assert read(text) == content
