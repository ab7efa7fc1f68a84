"""The browser of the dashboard's tests and pictures: Debian's Chromium, driven by Playwright."""

import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing of the browser's own goes out, and no sandbox where the tests run as root.
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find_browser() -> str:
    """Return a Chromium of this machine; install Debian's where there is none and we may."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    assert os.geteuid() == 0, (
        "the dashboard's tests need a Chromium: apt install chromium fonts-noto-cjk"
    )
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
    packages = ["chromium", "fonts-noto-cjk"]
    subprocess.run(["apt-get", "install", "-y", "-qq", *packages], check=True, env=quiet)
    return str(shutil.which("chromium"))
