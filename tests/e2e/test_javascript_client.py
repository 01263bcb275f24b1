"""The JavaScript client in pages and in Node, as its how-to shows it, against a whole system."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from quart_app import close_codes
from testbed.servers import Web
from testbed.system import System, running
from tests import own_jobs, typed_jobs
from tests.e2e import patient
from tests.e2e.browser import broadcast
from tests.tokens import SHARED, token

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "js"
HOW_TO = (ROOT / "docs" / "how-to" / "javascript.md").read_text()
DEADLINE = 60.0
BUDGET = 12_288
"""Bytes of the minified module."""

JOBS = """
@job(max_attempts=2)
def chapters(content: str, job: JobContext):
    "Write until the test lets it go on, fail, and write again."
    job.progress(0.5, "halfway")
    yield f"attempt {job.attempt}, "
    while not Path(__file__).with_name(content).exists():
        job.cancelled.wait(0.02)
    if job.attempt == 1:
        from workers.registry import Retry
        raise Retry(after=0, reason="there is no ink")
    yield "to the end"

@job
def fails(content: str, job: JobContext) -> str:
    "Fail."
    from workers.registry import Fail
    raise Fail("there is no paper")
"""

PAGE = """<!doctype html><title>A page</title><script type="module">
window.unhandled = [];
addEventListener("unhandledrejection", ({reason}) => window.unhandled.push(String(reason)));
addEventListener("error", ({message}) => window.unhandled.push(message));
Object.assign(window, await import("/static/client/index.js"), await import("/static/client/requests.js"));
window.client = connect();
window.request = requestsOf(client);
window.until = (f) => new Promise((resolve) => {
    const look = () => f() ? resolve() : setTimeout(look, 10);
    look();
});
window.outcome = (job) => job.result.catch(({name, message, ...data}) => ({name, message, ...data}));
document.title = "ready";
</script>"""

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("system")
    package = own_jobs.install(directory, patient.JOB + JOBS + typed_jobs.RESIZE.replace("from __future__", "# from"))
    with running(directory, PYTHONPATH=package) as system:
        system.worker()
        yield system


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web()


@pytest.fixture(scope="module")
def modules() -> Path:
    """What the client's own tools and tests need, from npm."""
    if (npm := shutil.which("npm")) is None:
        if os.environ.get("CI") == "true":
            pytest.fail("npm is not on PATH")
        pytest.skip("npm is not on PATH")
    installed, lock = CLIENT / "node_modules", CLIENT / "package-lock.json"
    if not (stamp := installed / ".package-lock.json").exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], cwd=CLIENT)
    return installed


def run(command: list[str], **options: Any) -> str:
    """What a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def block(name: str) -> str:
    """The block of the how-to whose first line names this file."""
    [code] = re.findall(rf"```\w+\n(?://|<!--) {re.escape(name)}(?: -->)?\n(.*?)```", HOW_TO, re.DOTALL)
    return str(code)


def project(directory: Path, modules: Path, *names: str) -> Path:
    """A project that has installed the client, with files from the how-to."""
    packages = directory / "node_modules"
    packages.mkdir()
    (packages / "busctl-client").symlink_to(CLIENT)
    for installed in modules.iterdir():
        (packages / installed.name).symlink_to(installed)
    (directory / "package.json").write_text('{"type": "module"}')
    for name in names:
        (directory / name).write_text(block(name))
    return directory


@asynccontextmanager
async def page_of(browser: Browser | BrowserContext, web: Web, html: str, **files: str) -> AsyncIterator[Page]:
    """A page of the server's own origin, which its author has written."""
    async with await browser.new_page() as page:

        async def give(route: Route) -> None:
            name = route.request.url.rpartition("/")[2]
            script = files.get(name.removesuffix(".js"))
            if script is None:
                await route.fulfill(body=html, content_type="text/html; charset=utf-8")
            else:
                await route.fulfill(body=script, content_type="text/javascript; charset=utf-8")

        await page.route("**/mine/*", give)
        await page.goto(web.url + "/mine/")
        yield page


@asynccontextmanager
async def client_in_page(browser: Browser | BrowserContext, web: Web) -> AsyncIterator[Page]:
    """A page with a `client`; nothing that it rejects may be left over."""
    async with page_of(browser, web, PAGE) as page:
        await expect(page).to_have_title("ready")
        yield page
        assert await page.evaluate("window.unhandled") == []


async def evaluated(page: Page, script: str, argument: Any = None) -> Any:
    """What a script in a page with a `client` gives; when it does not, the failure says how client and jobs stand."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await page.evaluate(script, argument)
    except TimeoutError:
        stands = await page.evaluate("[client.state, client.jobs.snapshot().map((job) => job.snapshot())]")
        raise AssertionError(f"within {DEADLINE:g} s the page did not end; the client: {stands}") from None


async def test_a_job_is_followed_from_its_submit_to_its_end_and_done_again(browser: Browser, web: Web) -> None:
    async with client_in_page(browser, web) as page:
        told = await evaluated(
            page,
            """async () => {
            const before = client.jobs.snapshot();
            const job = client.submit("translate", "hello", {key: "greeting"});
            const atOnce = [job.state, job.id, client.submit("translate", "other", {key: "greeting"}) === job];
            const states = [];
            job.subscribe((keys) => keys.includes("state") && states.push(job.state));
            const value = await job.result;
            const shown = job.snapshot();
            const again = job.again();
            const retried = job.retry();
            await Promise.all([again.result, retried.result]);
            return {
                atOnce, states, value, shown, retryOf: retried.retryOf, newKey: again.key !== job.key,
                listed: [...client.jobs].map(
                    ({key}) => key === job.key ? "job" : key === again.key ? "again" : "retried"),
                same: [client.jobs.snapshot() === client.jobs.snapshot(), client.jobs.snapshot() !== before],
                found: client.jobs.get(job.id) === job && client.jobs.get("greeting") === job,
                cleared: (client.jobs.clearEnded(), client.jobs.size),
            };
        }""",
        )
    assert told["atOnce"] == ["sending", None, True]
    assert told["states"] in (["queued", "started", "done"], ["queued", "done"])
    assert told["value"] == "🌍 Translated: 'hello' → 'hola'"
    assert {key: told["shown"][key] for key in ("state", "ended", "text", "error", "attempt")} == {
        "state": "done",
        "ended": True,
        "text": told["value"],
        "error": None,
        "attempt": 1,
    }
    assert told["shown"]["submittedAt"] <= told["shown"]["startedAt"] <= told["shown"]["endedAt"]
    assert told["retryOf"] == told["shown"]["id"]
    assert told["newKey"]
    assert told["listed"] == ["retried", "again", "job"]
    assert told["same"] == [True, True]
    assert told["found"]
    assert told["cleared"] == 0


async def test_a_job_may_be_submitted_before_there_is_a_connection_and_a_reload_loses_none(
    browser: Browser, web: Web
) -> None:
    async with client_in_page(browser, web) as page:
        kept = """[{"key": "kept", "taskType": "default", "content": "from before", "state": "sending"}]"""
        told = await evaluated(
            page,
            """async (kept) => {
            sessionStorage.setItem("early.unconfirmed", kept);
            const early = connect({prefix: "early."});
            const job = early.submit("default", "at once");
            const same = early.submit("default", "with the key of one from before", {key: "kept"});
            const value = await job.result;
            await same.result;
            early.close();
            const found = early.jobs.get(job.key) === job && early.jobs.get("kept") === same;
            return {value, found, size: early.jobs.size, left: sessionStorage.getItem("early.unconfirmed")};
        }""",
            kept,
        )
        assert told == {"value": "✅ Processed: AT ONCE", "size": 2, "found": True, "left": None}
        reloaded = await evaluated(
            page,
            """async (kept) => {
            sessionStorage.setItem("later.unconfirmed", kept);
            const later = connect({prefix: "later."});
            const job = later.submit("default", "beside it");
            await until(() => later.jobs.get("kept"));
            const values = [await later.jobs.get("kept").result, await job.result];
            later.close();
            return values;
        }""",
            kept,
        )
        assert reloaded == ["✅ Processed: FROM BEFORE", "✅ Processed: BESIDE IT"]


async def test_what_is_sent_is_what_the_server_can_read(browser: Browser, web: Web) -> None:
    async with client_in_page(browser, web) as page:
        told = await evaluated(
            page,
            """async () => {
            const nested = (levels) => levels ? [nested(levels - 1)] : "x";
            const half = client.submit("default", "half \\ud83d", {key: null});
            const named = client.submit("default", "named", {key: "\\u{1f600}".repeat(128)});
            const deep = client.submit("default", nested(198));
            return [await half.result, await named.result, (await outcome(deep)).items[0].type];
        }""",
        )
    assert told == ["✅ Processed: HALF \ufffd", "✅ Processed: NAMED", "string_type"]


async def test_what_a_listener_raises_is_an_error_of_its_page(browser: Browser, web: Web) -> None:
    async with client_in_page(browser, web) as page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(error.message))
        told = await evaluated(
            page,
            """async () => {
            client.on("pong", () => { throw new Error("a listener's own fault"); });
            await until(() => client.send({action: "ping"}));
            await until(() => unhandled.length);
            return unhandled.splice(0);
        }""",
        )
    assert told == ["Uncaught Error: a listener's own fault"]
    assert errors == ["a listener's own fault"]


async def test_a_closed_client_makes_room_for_another_that_goes_on_as_the_same(browser: Browser, web: Web) -> None:
    async with client_in_page(browser, web) as page:
        told = await evaluated(
            page,
            """async () => {
            await until(() => client.state.name === "connected");
            const {key} = client.submit("default", "kept");
            await client.jobs.get(key).result;
            client.close();
            connect().close(); // before it was connected
            const next = connect();
            await until(() => next.state.name === "connected");
            next.close();
            return {same: next.id === client.id, listed: [...next.jobs].map((job) => [job.key === key, job.state])};
        }""",
        )
    assert told == {"same": True, "listed": [[True, "done"]]}


async def test_what_a_job_writes_comes_piece_by_piece_and_a_new_attempt_begins_anew(
    browser: Browser, system: System, web: Web
) -> None:
    async with client_in_page(browser, web) as page:
        await evaluated(
            page,
            """async () => {
            window.job = client.submit("chapters", "a novel");
            window.pieces = [];
            window.read = (async () => { for await (const piece of job.output) pieces.push(piece); })();
            await until(() => job.text && job.progress);
        }""",
        )
        assert await page.evaluate("[job.text, job.progress, job.attempt]") == [
            "attempt 1, ",
            {"value": 0.5, "message": "halfway"},
            1,
        ]
        await page.evaluate("client.drop()")  # nothing is missed, and nothing comes twice
        patient.let_end(system, "a novel")
        pieces = await page.evaluate("read.then(() => pieces)")
        assert pieces[0] == {"text": "attempt 1, ", "attempt": 1, "reset": False}
        assert [piece["reset"] for piece in pieces].count(True) == 1
        begins = next(index for index, piece in enumerate(pieces) if piece["reset"])
        assert "".join(piece["text"] for piece in pieces[begins:]) == "attempt 2, to the end"
        assert await page.evaluate("job.reasons") == [{"attempt": 1, "reason": "there is no ink"}]
        late = "(async () => { let all = []; for await (const {text} of job.output) all.push(text); return all; })()"
        assert await page.evaluate(late) == ["attempt 2, to the end"]


async def test_a_job_that_gives_nothing_says_why_and_nobody_has_to_listen(
    browser: Browser, system: System, web: Web
) -> None:
    async with client_in_page(browser, web) as page:
        failed, cancelled, refused, typed, unread = await evaluated(
            page,
            """async () => {
            const fails = client.submit("fails", "anything");
            const patient = client.submit("patient", "called off");
            await until(() => patient.state === "started");
            patient.cancel();
            const misfit = client.submit("resize", {width: "broad"});
            const resize = client.submit("resize", {width: 640});
            client.submit("fails", "and nobody listens");
            await until(() => client.jobs.snapshot()[0].ended);
            let thrown = null;
            try { for await (const _ of fails.output); } catch (error) { thrown = error === fails.error; }
            return [
                {...await outcome(fails), thrown, text: fails.text, state: fails.state},
                {...await outcome(patient), state: patient.state},
                {...await outcome(misfit), state: misfit.state},
                await resize.result,
                client.jobs.snapshot()[0].error.reason,
            ];
        }""",
        )
        with pytest.raises(Exception, match="bytes too long: at most 65536"):
            await page.evaluate("client.submit('translate', 'x'.repeat(100_000))")
    reason = "there is no paper"
    assert failed == {
        "name": "JobFailed",
        "message": reason,
        "reason": reason,
        "attempt": 1,
        "thrown": True,
        "text": "",
        "state": "failed",
    }
    assert cancelled == {
        "name": "JobCancelled",
        "message": "The job was cancelled.",
        "by": None,
        "state": "cancelled",
    }
    assert (refused["name"], refused["state"]) == ("Refused", "refused")
    assert refused["items"][0]["loc"] == ["system_message", "payload", "content", "width"]
    assert typed["files"]
    assert unread == reason


async def test_what_is_submitted_offline_is_done_and_a_closed_client_says_so(browser: Browser, web: Web) -> None:
    async with client_in_page(browser, web) as page:
        told = await evaluated(
            page,
            """async () => {
            await until(() => client.state.name === "connected");
            const welcomes = [];
            client.on("welcome", (welcome) => welcomes.push(welcome));
            client.drop();
            const away = client.state.name;
            const soon = client.submit("default", "offline");
            const never = client.submit("default", "called off before it was sent");
            never.cancel();
            client.reconnect();
            const value = await soon.result;
            const pong = await request("ping");
            const patient = client.submit("patient", "longer than the client");
            await until(() => patient.id);
            client.close();
            const asked = await request("ping").catch(({name}) => name);
            return {away, value, pong: pong.action, never: never.state, id: never.id, asked,
                    welcome: welcomes[0], closed: client.state, left: await outcome(patient), state: patient.state};
        }""",
        )
    assert (told["away"], told["value"], told["pong"]) == ("waiting", "✅ Processed: OFFLINE", "pong")
    assert (told["never"], told["id"]) == ("cancelled", None)
    assert (told["welcome"]["recovered"], told["welcome"]["sameClient"]) == (True, True)
    assert told["closed"] == {"name": "closed", "reason": "the client was closed"}
    assert (told["asked"], told["left"]["name"]) == ("Disconnected", "Disconnected")
    assert told["state"] in ("queued", "started")


async def test_a_token_is_renewed_before_it_expires_and_the_connection_stays(browser: Browser, system: System) -> None:
    web = system.web(BUS_AUTH="jwt", BUS_AUTH_SECRET=SHARED)

    def lasting(seconds: int) -> str:
        return token(sub="ada", iss=None, aud=None, exp=int(time.time()) + seconds)

    async with client_in_page(browser, web) as page:
        await page.evaluate("until(() => client.state.name === 'closed')")
        assert await page.evaluate("client.state.code") == 4401
        told = await evaluated(
            page,
            """async (tokens) => {
                client.close();
                const asked = [];
                const states = [];
                const known = connect({prefix: "known.", token: async () => (asked.push(1), tokens[asked.length - 1])});
                known.on("state", ({name}) => states.push(name));
                const refreshed = new Promise((resolve) => known.on("frame", ({frame}) => {
                    if (frame.action === "token_refreshed") resolve(frame.payload.expires_at);
                }));
                await refreshed;
                const value = await known.submit("default", "still ada").result;
                known.close();
                return {asked: asked.length, states, value};
            }""",
            [lasting(30), lasting(3600)],  # a server warns a minute before a token expires
        )
    assert told["asked"] == 2
    assert told["states"] == ["connecting", "connected", "closed"]
    assert told["value"] == "✅ Processed: STILL ADA"


async def test_a_page_without_a_build(browser: Browser, web: Web) -> None:
    async with page_of(browser, web, block("page.html")) as page:
        await page.get_by_label("Question").fill("what about the weather")
        await page.get_by_role("button", name="Ask").click()
        await expect(page.locator("#answer")).to_contain_text("a good day to be outside")


async def test_a_page_of_react(browser: Browser, system: System, web: Web, modules: Path, tmp_path: Path) -> None:
    app = project(tmp_path, modules, "app.jsx")
    build = ["--bundle", "--format=esm", "--jsx=automatic", '--define:process.env.NODE_ENV="development"']
    script = run([str(modules / ".bin" / "esbuild"), "app.jsx", *build], cwd=app)
    html = '<!doctype html><div id="root"></div><script type="module" src="app.js"></script>'
    troubles: list[str] = []
    async with page_of(browser, web, html, app=script) as page:
        page.on("console", lambda message: message.type in ("error", "warning") and troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        await expect(page.get_by_role("status")).to_have_text("connected")
        await page.get_by_label("Question").fill("what about the weather")
        await page.get_by_role("button", name="Ask").click()
        job = page.get_by_role("listitem")
        await expect(job).to_contain_text("done")
        await expect(job).to_contain_text("a good day to be outside")
        await job.get_by_role("button", name="Again").click()
        await expect(job.filter(has_text="done")).to_have_count(2)
        await broadcast(system, "read by React")
        await expect(page.get_by_role("alert")).to_have_text("read by React")
        assert troubles == []


async def test_a_program_of_node(web: Web, modules: Path, tmp_path: Path) -> None:
    program = project(tmp_path, modules, "answer.mjs")
    (program / "older.mjs").write_text('import { WebSocket } from "ws"; globalThis.WebSocket ??= WebSocket;')
    command = ["node", "--import", "./older.mjs", "answer.mjs"]
    told = await asyncio.to_thread(run, command, cwd=program, env=os.environ | {"BUS": web.url})
    assert "a good day to be outside" in told


async def test_types_of_ones_own_jobs_are_made_from_a_running_server(web: Web, modules: Path, tmp_path: Path) -> None:
    code = project(tmp_path, modules, "resize.ts")
    types = ["node", str(CLIENT / "bin" / "busctl-client.js"), "types", web.url + "/asyncapi.json"]
    (code / "jobs.d.ts").write_text(await asyncio.to_thread(run, types))
    with pytest.raises(AssertionError, match=r"it is at /asyncapi\.json"):
        await asyncio.to_thread(run, [*types[:-1], web.url + "/system/"])
    compiler = [str(modules / ".bin" / "tsc"), "--noEmit", "--strict", "--module", "nodenext", "--target", "es2023"]
    await asyncio.to_thread(run, [*compiler, "resize.ts"], cwd=code)
    (code / "wrong.ts").write_text(block("resize.ts").replace("width: 640", "widht: 640"))
    with pytest.raises(AssertionError, match="widht"):
        await asyncio.to_thread(run, [*compiler, "wrong.ts"], cwd=code)


async def test_its_parts_hold_without_a_server(modules: Path) -> None:
    tests = sorted(str(file) for file in (CLIENT / "test").glob("*.test.js"))
    await asyncio.to_thread(run, ["node", "--test", "--test-timeout=30000", *tests])


async def test_it_is_small(modules: Path) -> None:
    build = [str(modules / ".bin" / "esbuild"), "--bundle", "--minify", "--format=esm", "src/index.js"]
    assert len(run(build, cwd=CLIENT).encode()) <= BUDGET


async def test_it_comes_back_after_those_close_codes_after_which_that_helps() -> None:
    source = (CLIENT / "src" / "connection.js").read_text()
    [told] = re.findall(r"NO_RECONNECT = \[(.*?)\]", source)
    named = dict(re.findall(r"const (\w+) = (\d{4});", source))
    codes = {int(named.get(code, code)) for code in told.split(", ")}
    assert codes == {close.code for close in close_codes.ALL if not close.reconnect}
