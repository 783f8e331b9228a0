// Everything works without this script. It saves reloads: times in the reader's zone,
// fresh figures, the reading pane, the steps of a connection test as they end.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// ---------- times in the reader's zone, as words.go says them ----------

const DAY = 24 * 60 * 60 * 1000;
const say = (options) => new Intl.DateTimeFormat("en-GB", options);
const clock = say({ hour: "2-digit", minute: "2-digit" });
const forms = {
  clock: say({ hour: "2-digit", minute: "2-digit", second: "2-digit" }),
  weekday: say({ weekday: "short" }),
  title: say({ dateStyle: "full", timeStyle: "long" }),
};

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// Day and month, and the year when it is another.
function day(t) {
  const words = t.getDate() + " " + months[t.getMonth()];
  return t.getFullYear() === new Date().getFullYear() ? words : words + " " + t.getFullYear();
}

function span(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 48 * 3600) return Math.floor(s / 3600) + " h";
  return Math.floor(s / 86400) + " days";
}

function ago(t) {
  const d = Date.now() - t;
  if (d >= 1000) return span(d) + " ago";
  return d <= -1000 ? "in " + span(-d) : "now";
}

const next = (t) => (t < Date.now() ? "now" : ago(t));

function short(t) {
  const now = new Date();
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  if (t >= midnight && t - midnight < DAY) return clock.format(t);
  if (t < midnight && midnight - t < 6 * DAY) return forms.weekday.format(t) + " " + clock.format(t);
  return day(t);
}

function full(t) {
  return forms.weekday.format(t) + " " + day(t) + ", " + clock.format(t);
}

const words = { ago, next, short, full, day, clock: (t) => forms.clock.format(t) };

function localTimes(root) {
  for (const e of $$("time[data-form]", root)) {
    const t = new Date(e.dateTime);
    e.textContent = words[e.dataset.form](t);
    e.title = forms.title.format(t);
  }
}

// ---------- parts of a page, fetched anew ----------

async function fetchPage(url, headers = {}) {
  const answer = await fetch(url, { headers: { Accept: "text/html", ...headers } });
  if (!answer.ok || answer.redirected) throw new Error("fetch " + url + ": " + answer.status);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

function swap(id, page) {
  const now = document.getElementById(id), fresh = page.getElementById(id);
  if (!now || !fresh) return;
  localTimes(fresh);
  chooseAll(fresh);
  if (now.innerHTML === fresh.innerHTML || now.contains(document.activeElement) || $("input:checked, details[open]", now)) return;
  now.replaceChildren(...fresh.childNodes);
}

// What changes by itself is looked at again while somebody looks at it.
const REFRESH = 5000;
async function refresh() {
  if (document.hidden || $("form :focus")) return;
  try {
    const page = await fetchPage(location.href, { "Postern-Refresh": "1" }); // nobody asked: a session ends all the same
    for (const e of $$("[data-live]")) swap(e.id, page);
  } catch {
    // The server restarts, or the session has ended: the next click will tell.
  }
}

// ---------- the reading pane ----------

const wide = matchMedia("(min-width: 761px)");

async function read(url, push) {
  const page = await fetchPage(url);
  if (push) history.pushState(null, "", url);
  for (const id of ["total", "mails", "reader"]) {
    const fresh = page.getElementById(id);
    localTimes(fresh);
    document.getElementById(id).replaceChildren(...fresh.childNodes);
  }
  $("#reader").scrollTop = 0;
  fitFrames();
  $(".mail[aria-current]")?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest(".mails .list a.mail");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || !wide.matches) return;
  event.preventDefault();
  read(link.href, true).catch(() => location.assign(link.href));
});

// The list may get a new first row, and then the address must still say which one is read.
function rememberFirst() {
  const row = $(".mails .list a.mail[aria-current]");
  if (row && wide.matches && !new URL(location).searchParams.has("message")) history.replaceState(null, "", row.href);
}

addEventListener("popstate", () => location.reload());

// A message's frame runs no script, so the page around it measures how tall it is.
function fitFrames() {
  for (const frame of $$("iframe[data-fit]")) {
    const fit = () => {
      const body = frame.contentDocument?.documentElement;
      if (body) frame.height = Math.max(40, body.scrollHeight);
    };
    frame.addEventListener("load", () => { frame.height = 40; fit(); });
    if (frame.contentDocument?.readyState === "complete") fit();
  }
}

// Links that show more of a message have done their work once they were followed.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-once] a")) event.target.closest("[data-once]").hidden = true;
});

// ---------- keys ----------

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "/") {
    event.preventDefault();
    $(".search input")?.focus();
  } else if (event.key === "j" || event.key === "k") {
    const rows = $$(".mails .list a.mail");
    const at = rows.findIndex((row) => row.hasAttribute("aria-current"));
    rows[at + (event.key === "j" ? 1 : -1)]?.click();
  }
});

document.addEventListener("click", (event) => {
  for (const menu of $$("details.me[open]")) if (!menu.contains(event.target)) menu.open = false;
});

// ---------- choosing rows ----------

// One box ticks all of its table. It does nothing without script, so it is not shown then.
function chooseAll(root) {
  for (const all of $$("input[data-all]", root)) all.hidden = false;
}

document.addEventListener("change", (event) => {
  if (!event.target.matches("input[data-all]")) return;
  for (const box of $$("tbody input[type=checkbox]", event.target.closest("table"))) box.checked = event.target.checked;
});

// ---------- settings ----------

function formSettings(form) {
  const data = new FormData(form);
  const text = (name) => data.get(name) ?? "";
  return {
    enabled: data.has("enabled"), server: text("server"), version: text("version"), login: text("login"),
    password: text("password"), domains: data.getAll("domain"), user_agent: text("user_agent"),
    gzip: data.has("gzip"), root_cas: text("root_cas"),
    model: text("model"), scheme: text("scheme"), keytab: text("keytab"), kdc: text("kdc"),
    client_certificate: text("client_certificate"), client_key: text("client_key"),
    others: data.getAll("other_login").map((login, i) => ({
      login, password: data.getAll("other_password")[i], keytab: data.getAll("other_keytab")[i],
    })),
  };
}

function addStep(card, step) {
  const item = $("template", card).content.firstElementChild.cloneNode(true);
  item.dataset.state = step.state;
  for (const e of $$("[data-field]", item)) e.textContent = step[e.dataset.field] ?? "";
  for (const [name, page] of [["step", step.about], ["fault", step.page]]) {
    if (!page) continue;
    const link = document.createElement("a"), e = $(`[data-field=${name}]`, item);
    link.href = page;
    link.dataset.field = name;
    link.textContent = e.textContent;
    e.replaceWith(link);
  }
  for (const part of step.parts ?? []) {
    const e = document.createElement(part.command ? "code" : "p");
    if (part.command) e.className = "command";
    e.textContent = part.text;
    $(".advice", item).append(e);
  }
  $(".steps", card).append(item);
}

async function lines(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) take(JSON.parse(part));
  }
}

// run has a test made and shows each step as it ends.
async function run(url, body, card, title) {
  const answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error("test: " + answer.status); // sent as a form, it says what is wrong field by field
  const verdict = $("#verdict");
  $("h2", card).textContent = title + " " + forms.clock.format(new Date());
  $(".steps", card).replaceChildren();
  $("#before").hidden = true;
  verdict.hidden = false;
  verdict.className = "chip";
  verdict.textContent = "under way…";
  const found = { bad: 0, warn: 0 };
  await lines(answer.body, (step) => {
    found[step.state]++;
    addStep(card, step);
  });
  const things = (n) => n === 1 ? "1 thing" : n + " things";
  verdict.className = "chip " + (found.bad ? "bad" : found.warn ? "warn" : "ok");
  verdict.textContent = found.bad ? things(found.bad) + " to fix" : found.warn ? things(found.warn) + " to see to" : "all is well";
}

// tries sends a form as it is after the script has failed at it once.
function tries(form, pressed, make) {
  let asked = false;
  form.addEventListener("submit", (event) => {
    if (!pressed(event.submitter) || asked) return;
    event.preventDefault();
    event.submitter.disabled = true;
    make(event.submitter).catch(() => {
      asked = true;
      event.submitter.disabled = false;
      form.requestSubmit(event.submitter);
    }).finally(() => { event.submitter.disabled = false; });
  });
}

function check(form) {
  tries(form, () => true, () => {
    const data = new FormData(form);
    $("#run header .faint")?.remove();
    return run("/api/access/check", { outside: data.get("outside"), stranger: data.has("stranger") }, $("#run"), "Run of");
  });
}

function settings(form) {
  tries(form, (button) => button?.value === "test", () => run("/api/settings/test", formSettings(form), $("#test"), "Test of"));

  const list = $("#domains");
  const number = () => $$("li", list).forEach((item, i) => {
    $("input", item).setAttribute("aria-label", "Domain " + (i + 1));
    $("button", item).setAttribute("aria-label", "Remove domain " + (i + 1));
    $("button", item).value = "remove " + i;
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[name=do]");
    if (button?.value === "add") {
      event.preventDefault();
      const item = list.lastElementChild.cloneNode(true);
      const input = $("input", item);
      input.value = "";
      input.removeAttribute("aria-invalid");
      list.append(item);
      number();
      input.focus();
    } else if (button?.value.startsWith("remove")) {
      event.preventDefault();
      if (list.children.length > 1) button.closest("li").remove();
      else $("input", list).value = "";
      number();
    }
  });
}

// ---------- copying ----------

// The clipboard is given to secure pages alone; elsewhere the text is marked by hand.
function copying(button) {
  const word = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = word; }, 2000);
  });
}

// ---------- begin ----------

localTimes(document);
chooseAll(document);
fitFrames();
rememberFirst();
$(".rail [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
if ($("#settings")) settings($("#settings"));
if ($("#check")) check($("#check"));
if (navigator.clipboard) $$("[data-copy]").forEach(copying);
if ($("[data-live]")) setInterval(refresh, REFRESH);
