"""REDIS_URL: what is served, and that nothing of a wrong one is shown."""

import pytest

from bus import Settings, SettingsError
from bus.redis_url import RedisUrl, Tls, parse, redacted

HARD = "p#ss/w@rd:%?;& é"
ENCODED = "p%23ss%2Fw%40rd%3A%25%3F%3B%26%20%C3%A9"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", RedisUrl((("h", 6379),))),
        ("redis://h/", RedisUrl((("h", 6379),))),
        ("redis://127.0.0.1:6380/3", RedisUrl((("127.0.0.1", 6380),), database=3)),
        ("redis://h?db=3", RedisUrl((("h", 6379),), database=3)),
        ("redis://[::1]:1/0", RedisUrl((("::1", 1),))),
        ("valkey://h", RedisUrl((("h", 6379),))),
        (f"redis://:{ENCODED}@h", RedisUrl((("h", 6379),), password=HARD)),
        (f"redis://{ENCODED}:x@h", RedisUrl((("h", 6379),), username=HARD, password="x")),
        ("rediss://h:1", RedisUrl((("h", 1),), tls=Tls("required", True))),
        ("valkeys://h:1?ssl_cert_reqs=none", RedisUrl((("h", 1),), tls=Tls("none", False))),
        ("rediss://h:1?ssl_cert_reqs=CERT_REQUIRED", RedisUrl((("h", 1),), tls=Tls())),
        (
            "rediss://h:1/2?ssl_ca_certs=/ca.pem&ssl_check_hostname=false&ssl_certfile=/c&ssl_keyfile=/k",
            RedisUrl((("h", 1),), database=2, tls=Tls("required", False, "/ca.pem", "/c", "/k")),
        ),
        ("unix:///run/redis.sock", RedisUrl(path="/run/redis.sock")),
        ("unix://u:p@/run/a%20b?db=3", RedisUrl(path="/run/a b", database=3, username="u", password="p")),
        ("redis+socket:///run/redis.sock?virtual_host=3", RedisUrl(path="/run/redis.sock", database=3)),
        ("sentinel://a/0?master_name=m", RedisUrl((("a", 26379),), master_name="m")),
        (
            f"sentinel://:{ENCODED}@a:1;sentinel://b:2/3?master_name=m&sentinel_password=s",
            RedisUrl((("a", 1), ("b", 2)), database=3, password=HARD, master_name="m", sentinel_password="s"),
        ),
        ("sentinels://a?master_name=m", RedisUrl((("a", 26379),), tls=Tls(), master_name="m")),
    ],
)
def test_it_is_taken_apart(url: str, expected: RedisUrl) -> None:
    assert parse(url) == expected
    assert Settings.load(redis_url=url).redis_url == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2#x@h:6379/0",
        "redis://:hunter2/x@h:6379/0",
        "redis://:hunter2?x@h:6379/0",
        "redis://:hunter2@x@h:6379/0",
        "redis://u:123?hunter2@h",
        "redis://u:123/hunter2@h",
        "redis://:hunter2%@h",
        "redis://:hunter2%zz@h",
        "redis://:hunter2%ff@h",
        "redis://:hunter2 x@h",
        "redis://:hunter2\n@h",
        "redis://:hunter2[@h",
        "redis://:hunter2@",
        "redis://:hunter2@:6379",
        "redis://:hunter2@/0",
        "redis://",
        "redis:///0",
        "redis:hunter2",
        "redis://h:p/hunter2",
        "redis://h:0/0",
        "redis://h:65536/0",
        "redis://h:-1/0",
        "redis://h/hunter2",
        "redis://h/-1",
        "redis://h/65536",
        "redis://h/1/2",
        "redis://h/1?db=2",
        "redis://h?db=",
        "redis://h?hunter2=1",
        "redis://h?hunter2",
        "redis://h?db=1&db=2",
        "redis://h?ssl_cert_reqs=none",
        "redis://hunter2;x",
        "rediss://h?ssl_cert_reqs=hunter2",
        "rediss://h?ssl_check_hostname=hunter2",
        "unix://hunter2/redis.sock",
        "unix://",
        "unix:///",
        "unix:///" + "a" * 120,
        "unix:///a?db=hunter2",
        "sentinel://hunter2:1",
        "sentinel://:hunter2@a:1;redis://b:2?master_name=m",
        "sentinel://:hunter2@a;sentinel://:other@b?master_name=m",
        "sentinel://a;?master_name=m",
        "memory://hunter2",
        "amqp://u:hunter2@h//",
        "http://h",
        "127.0.0.1:6379",
        "h",
        "u:hunter2@h:6379",
        "hunter2",
        "REDIS_URL=redis://h",
    ],
)
def test_what_is_not_served_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(SettingsError, match=r"REDIS_URL.*percent-encoded") as refused:
        Settings.load(redis_url=url)
    message = str(refused.value)
    assert "hunter2" not in message
    assert "\n" not in message
    assert redacted(url) == "a REDIS_URL that cannot be read"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://:pa[ss@h", r"a \[ or \] that is not around an IPv6 address"),
        ("redis://[127.0.0.1]/0", r"a \[ or \] that is not around an IPv6 address"),
        ("redis://:pa\u2100ss@h", "a character that stands for one with a meaning in a URL"),
        ("redis://:pa/ss@h", r"a / or \? before an @"),
        ("redis://:p@ss@h", "an @ too many"),
        ("redis://h:x", "port is not a number up to 65535"),
    ],
)
def test_what_is_wrong_is_said(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:hunter2@h:1/2", "redis://h:1/2"),
        ("rediss://:hunter2@[::1]/0?ssl_cert_reqs=none", "rediss://[::1]:6379/0"),
        ("unix://:hunter2@/a b".replace(" ", "%20"), "redis+socket:///a%20b?virtual_host=0"),
        (
            "sentinel://:hunter2@a:1;sentinel://b:2/3?master_name=m&sentinel_password=hunter2",
            "sentinel://a:1;sentinel://b:2/3",
        ),
    ],
)
def test_what_is_shown_has_no_secret(url: str, shown: str) -> None:
    assert redacted(url) == str(parse(url)) == shown
    assert "hunter2" not in repr(parse(url))
