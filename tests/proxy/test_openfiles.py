import resource
import subprocess
import sys

ASK = "import resource; from proxy.openfiles import raise_limit; print(raise_limit({}), *resource.getrlimit(7))"


def raised(soft: int, hard: int, wanted: int) -> list[int]:
    """What a process that starts with these limits has afterwards: the answer, soft, hard."""
    assert resource.RLIMIT_NOFILE == 7
    limits = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))  # noqa: E731
    made = subprocess.run(
        [sys.executable, "-c", ASK.format(wanted)], preexec_fn=limits, capture_output=True, check=True
    )
    return [int(word) for word in made.stdout.split()]


def test_the_limit_rises_to_what_is_wanted_or_allowed_and_never_falls() -> None:
    assert raised(128, 512, 256) == [256, 256, 512]
    assert raised(128, 512, 9999) == [512, 512, 512]
    assert raised(400, 512, 256) == [400, 400, 512]
