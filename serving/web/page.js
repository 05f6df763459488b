// Asking, showing, and the two steps of a rollback. Nothing is asked for while nobody looks.

const EVERY = 10000,
  PATIENCE = 15000,
  KEY = "freshet token";
const shown = new Map();
let latest = null,
  seen = 0,
  timer = 0,
  asking = false;

class Refusal extends Error {
  constructor(status, said) {
    super([said.error, said.hint].filter(Boolean).join(". "));
    this.status = status;
  }
}

async function ask(path, options, token) {
  const known = token || sessionStorage.getItem(KEY);
  if (known && /[^\x20-\x7e]/.test(known)) throw new Refusal(401, { error: "No token holds such characters." });
  const headers = { Accept: "application/json", ...(known ? { Authorization: `Bearer ${known}` } : {}) };
  const answer = await fetch(path, {
    ...options,
    headers,
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(PATIENCE),
  });
  const said = await answer.json().catch(() => null);
  if (said === null)
    throw new Refusal(answer.status, {
      error: `The server answered ${answer.status} and nothing that this page understands.`,
    });
  if (!answer.ok) throw new Refusal(answer.status, said);
  return said;
}
const send = (path, body, token) => ask(path, { method: "POST", body: JSON.stringify(body) }, token);

// Replace what a section shows if it changed; what was unfolded stays so, and the focus stays where it was.
function show(id, state, make) {
  const key = JSON.stringify(state);
  if (shown.get(id) === key) return;
  shown.set(id, key);
  const place = byId(id),
    open = [...place.querySelectorAll("details[open]")].map((one) => one.id);
  const active = document.activeElement,
    unfolding = active.tagName === "SUMMARY" ? active.parentElement.id : "";
  const focused = place.contains(active) ? unfolding || active.id : "";
  place.replaceChildren(...make().flat(Infinity).filter(Boolean));
  for (const name of open) if (byId(name)) byId(name).open = true;
  const again = focused && byId(focused);
  if (again) (unfolding ? again.querySelector("summary") : again).focus();
}

const roomOf = (id) => Math.max(280, Math.floor(byId(id).getBoundingClientRect().width));

function render(page) {
  const { answering, versions, hops } = page;
  byId("headline").textContent = answering
    ? `Version ${answering.version} on base ${answering.base_id}, newest click ${ago(page)} ago`
    : "Nothing is served yet";
  const open = page.attention.length ? `(${page.attention.length}) ` : "";
  document.title = `${open}Freshet ${answering ? answering.version : ""}`;
  show("attention", [page.attention, page.away], () => attentionSection(page));
  show(
    "now",
    [answering && { ...answering, vectors: 0 }, versions[0], page.search, Math.floor(page.made_at / 60000)],
    () => nowSection(page),
  );
  show("recall", [versions.map((version) => [version.number, version.interval]), roomOf("recall")], () =>
    recallSection(page, roomOf("recall")),
  );
  show("freshness", [versions.map((version) => version.number), hops, roomOf("freshness")], () =>
    freshnessSection(page, roomOf("freshness")),
  );
  show("versions", [versions, page.refusals, page.head, page.may_roll_back], () => versionsSection(page, planRollback));
  show("counts", [page.lines, page.partitions], () => countsSection(page));
  show("bases", [page.next_base, page.nights], () => basesSection(page));
  byId("cost").textContent =
    `Made by the server in ${page.milliseconds} ms, at most once in 2 s for however many pages are open; asked for ` +
    `every ${EVERY / 1000} s while this tab is looked at. All times are UTC.`;
}

// What a screen reader reads out at once: that the server is lost, or what a rollback did.
let toldUntil = 0;
function tell(text, bad) {
  byId("told").textContent = text;
  byId("told").className = bad ? "bad" : "good";
  toldUntil = Date.now() + (text && !bad ? 30000 : 0);
}

async function look() {
  clearTimeout(timer);
  if (document.hidden || asking) return;
  asking = true;
  try {
    latest = await ask("overview");
    seen = Date.now();
    byId("token-form").hidden = true;
    byId("main").hidden = false;
    render(latest);
    byId("as-of").textContent = `as of ${stamp(latest.made_at).slice(11, 19)} UTC`;
    if (Date.now() > toldUntil) tell("", false);
  } catch (error) {
    lost(error);
  } finally {
    asking = false;
    if (byId("token-form").hidden) timer = setTimeout(look, EVERY);
  }
}

function lost(error) {
  if (error.status === 401) {
    byId("token-fault").textContent = sessionStorage.getItem(KEY) ? "That is not the token." : "";
    sessionStorage.removeItem(KEY);
    byId("main").hidden = true;
    byId("token-form").hidden = false;
    byId("headline").textContent = "";
    byId("as-of").textContent = "";
    tell("", false);
    byId("token").focus();
    return;
  }
  const since = seen ? ` What stands here is from ${stamp(seen).slice(11, 19)} UTC.` : "";
  const text = `${error.status ? error.message : "The server does not answer; it is asked again."}${since}`;
  if (byId("told").textContent !== text) tell(text, true);
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("token").value);
  byId("token").value = "";
  look();
});

byId("user-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = byId("user").value,
    place = byId("user-answer");
  place.replaceChildren(el("p", { class: "soft" }, "Asking …"));
  try {
    const found = await send("compare", { user_id: id, k: Number(byId("k").value) });
    place.replaceChildren(...userSection(found).flat(Infinity).filter(Boolean));
  } catch (error) {
    if (error.status === 401) lost(error);
    place.replaceChildren(el("p", { class: "bad" }, error.status ? error.message : "The server does not answer."));
  }
});

// Step one: see what a rollback would hold. Step two: name, reason and token, and only if nothing changed meanwhile.
let plan = null;

async function planRollback(to, button) {
  const form = byId("rollback-form"),
    place = byId("rollback-plan");
  form.reset();
  byId("rollback-fault").textContent = "";
  byId("rollback-title").textContent = `Roll back to version ${to}?`;
  byId("rollback-do").textContent = `Serve version ${to} again`;
  place.replaceChildren(el("p", { class: "soft" }, "Asking what it would hold …"));
  plan = null;
  form.hidden = true;
  byId("rollback").showModal();
  byId("rollback").onclose = () => (byId(button.id) || byId("main")).focus();
  try {
    plan = { ...(await ask(`rollback/${to}`)), to };
    place.replaceChildren(
      el(
        "p",
        null,
        `A new version will show what version ${plan.content_of} showed, on base ${plan.base_id}, ` +
          `instead of version ${plan.version}.`,
      ),
      facts([
        ["Newest click in it (UTC)", time(plan.last_event_time)],
        ["Log until (UTC)", time(plan.trend_time)],
        ["Deltas held", `${count(plan.deltas)}, of ${plural(plan.partitions, "partition")}`],
      ]),
      el(
        "p",
        { class: "soft" },
        "Later publishes go on without the held deltas. The trainer does not forget what it learned.",
      ),
    );
    form.hidden = false;
    byId("who").focus();
  } catch (error) {
    place.replaceChildren(
      el("p", { class: "bad", role: "alert" }, error.status ? error.message : "The server does not answer."),
      el("button", { type: "button", class: "quiet", id: "rollback-close" }, "Close"),
    );
    byId("rollback-close").addEventListener("click", () => byId("rollback").close());
    byId("rollback-close").focus();
  }
}

byId("rollback-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!plan) return;
  byId("rollback-do").disabled = true;
  byId("rollback-fault").textContent = "";
  const asked = { to: plan.to, seen: plan.version, who: byId("who").value, why: byId("why").value };
  try {
    const done = await send("rollback", asked, byId("operator").value);
    byId("rollback").close();
    tell(`Version ${done.version} serves the content of version ${done.content_of} again.`, false);
    setTimeout(look, 1000);
  } catch (error) {
    byId("rollback-fault").textContent = error.status
      ? error.message
      : "The server did not answer: look at the versions before you try again.";
    if (error.status === 401) byId("operator").focus();
  } finally {
    byId("operator").value = "";
    byId("rollback-do").disabled = false;
  }
});
byId("rollback-cancel").addEventListener("click", () => byId("rollback").close());

document.addEventListener("visibilitychange", look);
let resized = 0;
window.addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => latest && render(latest), 150);
});
look();
