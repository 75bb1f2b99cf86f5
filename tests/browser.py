"""The browser that the tests of the site need, and the PNG beside each figure. `make test` runs this file: it finds
one, or installs Debian's and says so, or says what won't be tested. The tests only look."""
import os
import shutil
import subprocess
from pathlib import Path

NAMES = ["google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome",
         "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"]
APT = "apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium"


def find_browser() -> str | None:
    "An installed Chrome or Chromium, of the system or of playwright."
    if found := next(filter(None, map(shutil.which, NAMES)), None): return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright: own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install_browser() -> str: # why there is none, or nothing
    if os.geteuid() or not shutil.which("apt-get"): return "installing one needs apt-get and root"
    print("Installing Debian's chromium with apt-get (the tests of the site need a browser) ...", flush=True)
    try: done = subprocess.run(["sh", "-c", APT], capture_output=True, text=True, timeout=900)
    except subprocess.TimeoutExpired: return "apt-get gave no answer in 15 minutes"
    return "" if find_browser() else " ".join((done.stderr or done.stdout).splitlines()[:1]) or "apt-get installed none"


if __name__ == "__main__" and not find_browser() and (why := install_browser()):
    print(f"No Chrome or Chromium ({why}): the tests that need one are skipped. "
          "Install one, or run .venv/bin/playwright install chromium")
