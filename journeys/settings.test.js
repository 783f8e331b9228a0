import assert from "node:assert/strict";
import { test } from "node:test";
import { api, demo, open, settings, signIn } from "./browser.js";

// The form as an administrator of the demonstration finds it.
async function form(t) {
  const { page } = await open(t);
  await signIn(page);
  await page.goto(settings);
  const before = (await api(page, "/api/settings")).body;
  return {
    page, before,
    field: (name) => page.locator(`#${name}`),
    domains: page.locator("input[name=domain]"),
    error: (name) => page.locator(`#${name}-error`),
    save: () => page.getByRole("button", { name: "Save Settings" }).click(),
    kept: async () => (await api(page, "/api/settings")).body,
  };
}

async function onlyDomain(f, ...entries) {
  while (await f.domains.count() > 1) await f.page.getByRole("button", { name: /^Remove domain/ }).first().click();
  await f.domains.first().fill(entries[0]);
  for (const entry of entries.slice(1)) {
    await f.page.getByRole("button", { name: "Add a domain" }).click();
    await f.domains.last().fill(entry);
  }
}

test("A1: the form is where it was promised, in its order, and for administrators", async (t) => {
  const { page } = await open(t);
  await signIn(page);
  await page.getByRole("link", { name: "Configuration" }).first().click();
  assert.equal(new URL(page.url()).pathname, settings);
  assert.match(await page.locator(".crumbs").innerText(), /System\s*→\s*Configuration\s*→\s*Integrations/);
  assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), "Email settings");

  const labels = await page.locator("#settings .field > label, #settings .field > .label").allInnerTexts();
  assert.deepEqual(labels, ["Enable", "Server", "Version", "Login", "Password", "Domain List"]);
  const buttons = await page.locator("#settings .form-actions button").allInnerTexts();
  assert.deepEqual(buttons, ["Test", "Save Settings"]);
  assert.equal(await page.locator("#version").evaluate((e) => e.tagName), "SELECT");
  assert.equal(await page.locator("#password").getAttribute("type"), "password");
  assert.equal(await page.locator("#password").inputValue(), "");
  assert.ok(!(await page.content()).includes(`"${demo.ews_password}"`), "the password is in the page");

  const other = await open(t);
  const colleague = (await api(page, "/api/users")).body.items.find((user) => !user.admin && user.addresses[0] !== demo.user);
  await signIn(other.page, colleague.addresses[0]);
  assert.equal((await other.page.goto(settings)).status(), 403);
  assert.match(await other.page.locator("main").innerText(), /administrators/);
  assert.equal((await api(other.page, "/api/settings")).status, 403);
  assert.equal(await other.page.getByRole("link", { name: "Configuration" }).count(), 0);
});

test("A2: at least one domain", async (t) => {
  const f = await form(t);
  await onlyDomain(f, "   ");
  await f.field("login").fill("somebody else");
  await f.field("password").fill("a new password");
  await f.save();
  assert.match(await f.error("domains").innerText(), /[Aa]t least one domain/);
  assert.equal(await f.field("login").inputValue(), "somebody else");
  assert.equal(await f.field("server").inputValue(), f.before.server);
  assert.deepEqual(await f.kept(), f.before);
});

test("A3: domains are normalised, and bad ones named", async (t) => {
  const f = await form(t);
  const own = f.before.domains[0];
  await onlyDomain(f, own, "acme", "acme..example", "http://acme.example", "a b.example");
  await f.save();
  const told = await f.error("domains").innerText();
  for (const bad of ["acme..example", "http://acme.example", "a b.example", '"acme"']) assert.ok(told.includes(bad), `${bad} is not named in: ${told}`);
  assert.deepEqual(await f.kept(), f.before);

  await onlyDomain(f, ` ${own.toUpperCase()} `, "@" + own, own, "bücher.example");
  await f.save();
  await f.page.getByRole("status").waitFor();
  assert.deepEqual((await f.kept()).domains, [own, "xn--bcher-kva.example"]);
  const shown = await f.domains.evaluateAll((inputs) => inputs.map((input) => input.value));
  assert.deepEqual(shown.filter(Boolean), [own, "bücher.example"]);

  await onlyDomain(f, own);
  await f.save();
  await f.page.getByRole("status").waitFor();
  assert.deepEqual(await f.kept(), f.before);
});

test("A4: required fields, only when enabled; the password is kept for the same server and login", async (t) => {
  const f = await form(t);
  await f.field("server").fill("");
  await f.field("version").selectOption("");
  await f.field("login").fill("");
  await f.save();
  for (const name of ["server", "version", "login", "password"]) await f.error(name).waitFor();
  assert.equal(await f.error("domains").count(), 0);
  assert.deepEqual(await f.kept(), f.before);

  await f.page.goto(settings);
  await f.field("login").fill("another-login");
  await f.save();
  await f.error("password").waitFor();
  assert.deepEqual(await f.kept(), f.before);

  await f.page.goto(settings);
  await f.page.getByRole("switch", { name: "Enable" }).uncheck();
  await f.save();
  await f.page.getByText("Collecting is off.").waitFor();
  assert.equal((await f.kept()).enabled, false);

  await f.page.getByRole("switch", { name: "Enable" }).check();
  await f.save();
  await f.page.getByText(/read from now on/).waitFor();
  assert.deepEqual(await f.kept(), f.before);
});

test("A6: the test tells each step beside the form", async (t) => {
  const f = await form(t);
  await f.page.getByRole("button", { name: "Test", exact: true }).click();
  const verdict = f.page.locator("#verdict");
  await verdict.filter({ hasText: /all is well|to fix/ }).waitFor();
  const steps = await f.page.locator(".steps li").evaluateAll((items) => items.map((item) => [item.dataset.state, item.querySelector(".step").textContent]));
  assert.ok(steps.length >= 3, `steps: ${JSON.stringify(steps)}`);
  assert.deepEqual(steps.filter(([state]) => state === "bad"), []);
  assert.equal(await verdict.innerText(), "all is well");

  await f.field("password").fill("wrong");
  await f.page.getByRole("button", { name: "Test", exact: true }).click();
  await verdict.filter({ hasText: "to fix" }).waitFor();
  assert.equal(await f.page.locator(".steps [data-state=bad]").count(), 1);
  assert.deepEqual(await f.kept(), f.before);
});
