"""The LuCI app: its files agree with each other and with the programs, and its views show what real programs answer, in Chromium.

usage: luci.py files|views BUILD_DIR SOURCE_DIR        views is skipped (77) where Chromium is not installed
"""
import contextlib
import fnmatch
import html
import html.parser
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

APP = "toolchains/openwrt/luci-app-millet"
RUNTIME = pathlib.Path(__file__).with_name("luci_runtime.js")
BROWSER_SECONDS = 30  # a page takes one or two, on a machine that is busy up to ten
CHROMIUM_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                    "--disable-component-update", "--disable-sync", "--disable-extensions", "--virtual-time-budget=5000")
RUNNING = {"service list": {"millet": {"instances": {"instance1": {"running": True}}}}}


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class App:
    def __init__(self, build, source):
        self.build = pathlib.Path(build)
        self.folder = pathlib.Path(source) / APP
        self.config = pathlib.Path(source) / "config/millet.conf"  # what --print-config prints: options_test
        resources = self.folder / "htdocs/luci-static/resources"
        self.sources = {str(path.relative_to(resources))[:-3].replace("/", "."): path.read_text() for path in sorted(resources.rglob("*.js"))}
        self.acl = json.loads((self.folder / "root/usr/share/rpcd/acl.d/luci-app-millet.json").read_text())["luci-app-millet"]
        self.menu = json.loads((self.folder / "root/usr/share/luci/menu.d/luci-app-millet.json").read_text())

    def texts(self):
        """Everything that a person reads: of the views, and of the menu."""
        found = {entry["title"] for entry in self.menu.values()}
        for source in self.sources.values():
            found |= {text.replace("\\'", "'") for text in re.findall(r"\b_\('((?:[^'\\]|\\.)*)'\)", source)}
        return found

    def options(self):
        """SECTION.OPTION of milletd: its default and what it takes."""
        text = self.config.read_text()
        found, section, takes, initial = {}, "", "", ""
        for line in text.splitlines():
            if line.startswith("config "):
                section = line.split()[1]
            elif line.startswith("\t# Takes "):
                takes, initial = re.match(r"\t# Takes (.*)\. Default (.*)\.$", line).groups()
            elif line.startswith("\toption "):
                found[f"{section}.{line.split()[1]}"] = ("" if initial == "nothing" else initial, takes)
        return found


def read_po(path):
    """msgid: msgstr"""
    entries, at, found = {}, None, {}
    for line in path.read_text(encoding="utf-8").splitlines() + [""]:
        words = re.match(r'(msgid|msgstr) "(.*)"$', line)
        if words:
            at = words[1]
            entries[at] = words[2]
        elif line.startswith('"') and at:
            entries[at] += line[1:-1]
        elif not line and "msgid" in entries:
            found[entries["msgid"].replace('\\"', '"')] = entries.get("msgstr", "").replace('\\"', '"')
            entries, at = {}, None
    found.pop("", None)
    return found


# ---- files: cases get an App ----


def the_menu_leads_to_views_that_are_there(app):
    for path, entry in app.menu.items():
        if entry["action"]["type"] == "view":
            expect(f"view.{entry['action']['path'].replace('/', '.')}" in app.sources, f"{path} leads to no view")
    expect(app.menu["admin/services/millet"]["depends"]["acl"] == ["luci-app-millet"], "the menu asks for another right")


def reading_rights_change_nothing(app):
    expect("*" not in json.dumps(app.acl["read"]["file"]), "a right to read has a pattern")
    for command in app.acl["read"]["file"]:
        expect(command.split()[2] in ("stats", "list", "channels", "wallet"), f"a right to read executes {command}")
    expect(not any("wallet" in command or "passphrase" in command for command in app.acl["write"]["file"]), "the app may spend")


def every_text_is_in_the_template_and_in_german(app):
    texts, template = app.texts(), read_po(app.folder / "po/templates/millet.pot")
    expect(texts == set(template), f"po/templates/millet.pot differs: {texts ^ set(template)}")
    german = read_po(app.folder / "po/de/millet.po")
    expect(set(german) == texts, f"po/de/millet.po differs: {texts ^ set(german)}")
    for text, said in german.items():
        expect(said, f"not translated: {text}")
        expect(re.findall(r"%[a-z%]", text) == re.findall(r"%[a-z%]", said), f"other placeholders: {said}")


def javascript_is_javascript(app):
    if shutil.which("node") is None:
        return
    for name, source in app.sources.items():
        done = subprocess.run(["node", "-e", "new Function('E', '_', 'L', require('fs').readFileSync(0, 'utf8'))"], input=source, capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"{name}: {done.stderr}")


# ---- views: in Chromium ----


class Page(html.parser.HTMLParser):
    """The page that Chromium left, and what its view asked for."""

    def __init__(self, dom):
        super().__init__()
        self.options, self.scripts, self.inside, self.text, self.parts = {}, 0, [], "", {"view": "", "notifications": "", "modal": "", "calls": ""}
        self.feed(dom)
        self.calls = json.loads(self.parts["calls"])

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        if tag in ("input", "br", "meta", "link"):
            return
        self.inside.append(known.get("id"))
        self.scripts += tag == "script"
        if "data-option" in known:
            self.options[known["data-option"]] = known

    def handle_endtag(self, tag):
        if self.inside and tag not in ("br", "input"):
            self.inside.pop()

    def handle_data(self, data):
        for part in self.parts:
            if part in self.inside:
                self.parts[part] += data if part == "calls" else f" {data.strip()}"


class Views:
    def __init__(self, app, folder, chromium):
        self.app, self.folder, self.chromium = app, pathlib.Path(folder), chromium
        self.answers = self.ask_real_programs()

    def ask_real_programs(self):
        """What milletd answers: keys and forms are the product's own."""
        state, payload = self.folder / "state", self.folder / "payload"
        payload.mkdir()
        for name in ("one", "<b>two"):
            (payload / name).write_bytes(name.encode() * 50_000)
            subprocess.run([self.app.build / "millet", "create", payload / name, "-o", self.folder / f"{len(name)}.torrent"], check=True, capture_output=True)
        (payload / "<b>two").unlink()
        log = open(self.folder / "log", "w+", encoding="utf-8")
        daemon = subprocess.Popen([self.app.build / "milletd", "--config", self.app.config, "--state", state, "--set", "node.listen=127.0.0.1:0", "--seed", self.folder, "--data", payload],
                                  stderr=log)
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                answers = {" ".join(words): self.millet(state, *words) for words in (("stats",), ("list",), ("channels",))}
                states = sorted(torrent["state"] for torrent in json.loads(answers["list"]["stdout"]).get("torrents", []))
                if states == ["missing", "seeding"] and all(answer["code"] == 0 for answer in answers.values()):
                    break
                time.sleep(0.2)
            expect(states == ["missing", "seeding"], f"milletd does not show its two torrents: {states}; {(self.folder / 'log').read_text()}")
        finally:
            daemon.terminate()
            daemon.wait(30)
            log.close()
        answers["gone"] = self.millet(state, "list")
        expect(answers["gone"]["code"] != 0 and answers["gone"]["stderr"], "millet says nothing without milletd")
        return answers

    def millet(self, state, *words):
        done = subprocess.run([self.app.build / "millet", "--state", state, "--json", *words], capture_output=True, text=True, check=False)
        return {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def browse(self, file):
        """Each time with a profile of its own. Output goes to files: a helper process of Chromium may hold a pipe open for long."""
        for _ in range(3):
            profile = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
            with open(profile / "out", "w+", encoding="utf-8") as out, open(profile / "err", "w+", encoding="utf-8") as err:
                browser = subprocess.Popen([self.chromium, *CHROMIUM_OPTIONS, f"--user-data-dir={profile / 'data'}", "--dump-dom", file.as_uri()], stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=err, env={**os.environ, "HOME": str(profile)}, process_group=0)
                try:
                    code = browser.wait(timeout=BROWSER_SECONDS)
                except subprocess.TimeoutExpired:
                    code = None
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(browser.pid, signal.SIGKILL)
                    browser.wait()
                out.seek(0)
                err.seek(0)
                if code is not None:
                    return subprocess.CompletedProcess(browser.args, code, out.read(), err.read())
        raise AssertionError(f"Chromium hung three times for {BROWSER_SECONDS} s")

    def show(self, view, presses=(), translations=None, ubus=None, **answers):
        known = {f"/usr/bin/millet --json {command}": self.answers[command] for command in ("stats", "list", "channels")}
        known.update({f"/usr/bin/millet --json {command.replace('_', ' ')}": value for command, value in answers.items() if command != "other"})
        if "other" in answers:
            known["*"] = answers["other"]
        page = {"view": f"view.millet.{view}", "sources": self.app.sources, "answers": known, "ubus": RUNNING if ubus is None else ubus, "presses": list(presses),
                "translations": translations or {}, "config": {"node": {"data": "/mnt/sda1/torrents", "upload_slots": "12"}}}
        file = self.folder / "page.html"
        body = "".join(f'<div id="{part}"></div>' for part in ("view", "notifications", "modal", "calls"))
        text = json.dumps(page).replace("</", "<\\/")
        file.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{body}<script>const PAGE = {text};</script><script>{RUNTIME.read_text()}</script></body>', encoding="utf-8")
        done = self.browse(file)
        expect(done.returncode == 0 and 'id="calls">[' in done.stdout, f"Chromium: {done.stderr[-2000:]} {done.stdout[-500:]}")
        result = Page(done.stdout)
        expect(not any(call.startswith("failed ") for call in result.calls), f"{view}: {result.calls}")
        for call in result.calls:
            if call.startswith("exec "):
                allowed = list(self.app.acl["read"]["file"]) + list(self.app.acl["write"]["file"])
                expect(any(fnmatch.fnmatchcase(call[5:], pattern) for pattern in allowed), f"rpcd would refuse: {call}")
        return result


def has(text, *words):
    for word in words:
        expect(word in text, f"{word!r} is not in {text!r}")


def status_shows_earnings_and_traffic(views):
    stats = json.loads(views.answers["stats"]["stdout"])
    stats.update(earned_btt="12.500001", spent_btt="0.25", uploaded=3 * 1024**3 // 2, upload_rate=2048, uptime_s=3723, ledger="reachable")
    channel = {"id": "00", "role": "payee", "state": "open", "other": "ab" * 32, "capacity_btt": "5", "paid_btt": "1.5"}
    page = views.show("status", stats={"code": 0, "stdout": json.dumps(stats)}, channels={"code": 0, "stdout": json.dumps({"channels": [channel]})})
    has(page.parts["view"], "12.500001 BTT", "0.25 BTT", "1.5 GB (2.0 KB/s)", "1h 2m 3s", stats["address"], "reachable", "1.5 / 5 BTT", "abababababab", "pays us")
    expect(sum(call == "exec /usr/bin/millet --json stats" for call in page.calls) == 2, "it is not asked again")
    has(views.show("status").parts["view"], "No channel is open.", "0 BTT")


def status_says_what_is_wrong(views):
    page = views.show("status", ubus={})
    has(page.parts["view"], "milletd does not run", "logread")
    expect(not any(call.startswith("exec") for call in page.calls), "milletd is asked though it does not run")
    has(views.show("status", stats=views.answers["gone"]).parts["view"], views.answers["gone"]["stderr"].strip()[:30])


def torrents_are_listed_with_their_errors(views):
    page = views.show("torrents")
    rows = json.loads(views.answers["list"]["stdout"])["torrents"]
    for row in rows:
        has(page.parts["view"], row["name"])
    has(page.parts["view"], "seeding", "waits for its disk", "is missing in", "(100%)", "(0%)")
    expect(page.scripts == 2 and "<b>two" in page.parts["view"], "a name is taken for markup")
    has(views.show("torrents", list={"code": 0, "stdout": '{"torrents": []}'}).parts["view"], "There is no torrent yet.")
    has(views.show("torrents", list=views.answers["gone"]).parts["view"], views.answers["gone"]["stderr"].strip()[:30])


def buttons_run_commands(views):
    rows = json.loads(views.answers["list"]["stdout"])["torrents"]
    seeding = next(index for index, row in enumerate(rows) if row["state"] == "seeding")
    done = {"code": 0, "stdout": "{}"}

    def commands(page):
        return [call[len("exec /usr/bin/millet --json "):] for call in page.calls if call.startswith("exec") and not call.endswith(" list")]

    hashes = [row["info_hash"] for row in rows]
    page = views.show("torrents", presses=(f"Pause@{seeding}", f"Resume@{1 - seeding}", f"Verify@{seeding}"), other=done)
    expect(commands(page) == [f"pause {hashes[seeding]}", f"resume {hashes[1 - seeding]}", f"verify {hashes[seeding]}"], f"{page.calls}")
    page = views.show("torrents", presses=(f"Remove@{seeding}",), other=done)
    expect(commands(page) == [], "it is removed without being asked for")
    has(page.parts["modal"], rows[seeding]["name"], "files stay")
    expect(commands(views.show("torrents", presses=(f"Remove@{seeding}", "Cancel"), other=done)) == [], "Cancel removes")
    page = views.show("torrents", presses=(f"Remove@{seeding}", "Remove"), other=done)
    expect(commands(page) == [f"remove {hashes[seeding]}"], f"{page.calls}")
    page = views.show("torrents", presses=("Add a .torrent file",), other={"code": 1, "stdout": "", "stderr": "millet: no folder for the payload"})
    expect("upload /tmp/millet-upload.torrent" in page.calls and commands(page) == ["add /tmp/millet-upload.torrent"], f"{page.calls}")
    has(page.parts["notifications"], "no folder for the payload")


def settings_have_every_option(views):
    page = views.show("settings")
    options = views.app.options()
    expect(set(page.options) == set(options), f"other options: {set(page.options) ^ set(options)}")
    examples = ("node.data", "ledger.url")  # shown as examples where the default is nothing
    for name, (initial, takes) in options.items():
        shown = page.options[name]
        expect(shown["data-default"] == initial or name in examples, f"{name}: default {shown['data-default']!r}, milletd's is {initial!r}")
        numbers = re.match(r"(?:auto, or )?(\d+) to (\d+)( [a-zM]|$)", takes)
        if takes == "0 or 1":
            expect(shown["data-kind"] == "Flag", f"{name} is no switch")
        elif takes == "auto, 0 or 1":
            expect(shown["data-choices"] == "auto 1 0", f"{name}: {shown['data-choices']}")
        elif numbers and "BTT" not in takes:
            expect(f"range({numbers[1]},{numbers[2]})" in shown["data-type"], f"{name} takes {takes}: {shown['data-type']}")
        elif numbers:
            expect(f"max({numbers[2]})" in shown["data-type"], f"{name} takes {takes}: {shown['data-type']}")


def german_is_shown(views):
    german = read_po(views.app.folder / "po/de/millet.po")
    page = views.show("torrents", translations=german)
    has(page.parts["view"], german["Verify"], german["waits for its disk"])
    expect(" Verify" not in page.parts["view"], "a text is not translated")
    has(views.show("settings", translations=german).parts["view"], german["Payload folder"], german["Earning and paying"])


FILES = (the_menu_leads_to_views_that_are_there, reading_rights_change_nothing, every_text_is_in_the_template_and_in_german, javascript_is_javascript)
VIEWS = (status_shows_earnings_and_traffic, status_says_what_is_wrong, torrents_are_listed_with_their_errors, buttons_run_commands, settings_have_every_option, german_is_shown)


def main():
    kind, build, source = sys.argv[1:]
    app = App(build, source)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="millet-luci-", ignore_cleanup_errors=True) as folder:
        subject, cases = app, FILES
        if kind == "views":
            chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
            if chromium is None:
                print("skipped: Chromium is not installed (Debian package chromium)")
                return 77
            subject, cases = Views(app, folder, chromium), VIEWS
        for case in cases:
            try:
                case(subject)
            except AssertionError as reason:
                print(f"{case.__name__}: {html.unescape(str(reason))[:3000]}")
                failed += 1
    print(f"luci {kind}: {len(cases) - failed} of {len(cases)} cases")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
