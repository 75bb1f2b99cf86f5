"""How heavy a page's first view is, and how soon something is seen on a slow line; the limit is 600 KB gzipped.

python bench/pages.py [SITE] [PAGE ...]     SITE: the folder of a rendered book, `_site` unless given
slow line: 1.6 Mbit/s, 150 ms there and back, a processor four times slower, as Lighthouse's phone
"""
import gzip
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from measure import line, report

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browser import find_browser
from playwright.sync_api import sync_playwright

LIMIT_KB = 600
PAGES = ["index", "20_imagenet", "21_pets", "31_how_sure", "explorer"]
SLOW = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
PACKED = {".html", ".css", ".js", ".svg"}
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
FIRST_PAINT = """new Promise(resolve => new PerformanceObserver(list => list.getEntriesByName("first-contentful-paint")
    .forEach(entry => resolve(entry.startTime))).observe({type: "paint", buffered: true}))"""


class Packed(SimpleHTTPRequestHandler):
    "Serves a folder as a web server does: texts gzipped. What was sent is added up in `sent`."
    sent: list = []

    def do_GET(self):
        file = Path(self.translate_path(self.path))
        if not file.is_file(): return self.send_error(404)
        content, packed = file.read_bytes(), file.suffix in PACKED
        if packed: content = gzip.compress(content)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(file))
        if packed: self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.sent.append((file.name, len(content)))
        self.wfile.write(content)

    def log_message(self, *_): pass


def first_view(browser, address: str) -> dict:
    "KB until nothing more is asked for, files, and seconds to the first paint and to the end on a slow line."
    page = browser.new_page(viewport={"width": 390, "height": 844})
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", SLOW)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    Packed.sent.clear()
    page.goto(address, wait_until="load", timeout=300_000)
    paint, loaded = page.evaluate(FIRST_PAINT), page.evaluate(LOADED)
    page.wait_for_load_state("networkidle")
    page.close()
    return {"KB": sum(size for _, size in Packed.sent) / 1000, "paint_s": paint / 1000, "loaded_s": loaded / 1000,
            "largest": sorted(Packed.sent, key=lambda one: -one[1])[:4]}


if __name__ == "__main__":
    site, names = Path(sys.argv[1] if len(sys.argv) > 1 else "_site").resolve(), sys.argv[2:] or PAGES
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Packed, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lines = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        for name in names:
            found = first_view(browser, f"http://127.0.0.1:{server.server_port}/{name}.html")
            lines.append(line(f"{name}: first view", found["KB"], LIMIT_KB, LIMIT_KB / found["KB"], "KB gzipped", 1,
                              **{key: found[key] for key in ("paint_s", "loaded_s", "largest")}))
            print(f"    first paint {found['paint_s']:.1f} s, loaded {found['loaded_s']:.1f} s on a slow line; "
                  f"largest {', '.join(f'{file} {size // 1000} KB' for file, size in found['largest'])}")
        browser.close()
    report("pages", lines)
