"""What is recorded for years holds no secret, whatever form it comes in."""

import pytest

from core.secrets import (
    is_secret_name,
    mask_arguments,
    mask_diff,
    mask_text,
    mask_tree,
    secret_values,
)


@pytest.mark.parametrize(
    "argv",
    [
        ("--hub-token", "s3cr3t"),
        ("--hub-token=s3cr3t",),
        ("--password", "-s3cr3t"),
        ("TOKEN=s3cr3t",),
        ("aws_secret_access_key=a&b s3cr3t",),
        ("--set", "wandb.api_key=s3cr3t"),
        ("https://ada:s3cr3t@host/x",),
        ("https://ada:with/s3cr3t@host/x",),
        ("https://ada:with@s3cr3t@host/x",),
        ("https://s3cr3t@host/x",),
        ("--registry", "postgresql+psycopg://ada:s3cr3t@db/runs"),
        ("postgresql://db/runs?user=ada&password=s3cr3t&x=1",),
        ('{"api_key": "s3cr3t"}',),
        ("--note", "the password: s3cr3t, as told"),
        ("--header", "Authorization: Bearer s3cr3ts3cr3t"),
        ("--note", "hf_s3cr3ts3cr3ts3cr3t of the hub"),
    ],
)
def test_arguments_lose_their_secrets(argv):
    assert "s3cr3t" not in " ".join(mask_arguments(argv))


@pytest.mark.parametrize(
    "argv",
    [
        ("run", "sft", "--max-tokens", "256", "--tokens", "1_000", "--lr", "1e-3"),
        ("--set", "evaluation.max_tokens=12", "--set", "train.microbatch_tokens=4096"),
        ("--data", "/a/b:c@d", "--registry", "postgresql://db:5432/runs"),
        ("--tokenizer=builtin", "--filter", "solved-by"),
    ],
)
def test_arguments_without_secrets_stay_as_they_are(argv):
    assert mask_arguments(argv) == argv


def test_a_masked_argument_still_says_what_it_was():
    assert mask_arguments(["postgresql://ada:pw@db/runs?password=x&n=1"]) == (
        "postgresql://***@db/runs?password=***&n=1",
    )


@pytest.mark.parametrize("name", ["HF_TOKEN", "my_api_key", "Secret", "PGPASSWORD", "aKEYb"])
def test_names_are_secret_in_any_case_and_anywhere(name):
    assert is_secret_name(name)


def test_parallelism_of_tokenizers_is_no_secret():
    assert not is_secret_name("TOKENIZERS_PARALLELISM")


def test_values_of_secret_variables_are_masked_wherever_they_stand():
    environment = {
        "WANDB_API_KEY": "abcdef123456",
        "SSL_KEY_FILE": "/etc/ssl/key.pem",
        "MONKEY": "short",
        "HOST_NAME": "abcdef",
    }
    assert secret_values(environment) == ["abcdef123456"]
    assert mask_text("it answered abcdef123456 (abcdef)", environment) == "it answered *** (abcdef)"


DIFF = '''diff --git a/.env b/.env
--- a/.env
+++ b/.env
-HF_TOKEN=old s3cr3t
+HF_TOKEN=s3cr3t
+export DB_PASSWORD='s3cr3t'
+  password: s3cr3t
diff --git a/settings.toml b/settings.toml
+max_tokens = 256
+seconds_per_token = 0.25
+token = s3cr3t
diff --git a/core/hub.py b/core/hub.py
+API_KEY = "s3cr3t"
+token: str = 's3cr3t'
 os.environ["HF_TOKEN"] = "s3cr3t"
+os.environ.setdefault("DB_PASSWORD", "s3cr3t")
+login(token="s3cr3t")
+settings = {"secret": "s3cr3t", "n": 3}
+URL = "https://ada:s3cr3t@host/x"
+rows = sorted(rows, key=lambda row: row.key)
+max_tokens = 256
+    token: str
+KEY = """-----BEGIN RSA PRIVATE KEY-----
+s3cr3t
+-----END RSA PRIVATE KEY-----"""
'''


def test_a_diff_loses_secrets_and_keeps_its_code():
    masked = mask_diff(DIFF)
    assert "s3cr3t" not in masked
    assert len(masked.splitlines()) == len(DIFF.splitlines()) - 2  # of the private key
    for line in (
        "key=lambda row: row.key",
        "+max_tokens = 256",
        "per_token = 0.25",
        "+    token: str",
        '"n": 3}',
    ):
        assert line in masked


def test_tracebacks_stay_readable():
    for text in ("KeyError: 'loss'", "if key == 'a':", "unexpected key: a", "f(key=lambda x: x)"):
        assert mask_text(text, {}) == text


def test_nested_texts_are_masked():
    tree = {"remote": "https://ada:s3cr3t@host/x.git", "n": [1, "token=s3cr3t"], "f": 0.5}
    assert mask_tree(tree) == {"remote": "https://***@host/x.git", "n": [1, "token=***"], "f": 0.5}
