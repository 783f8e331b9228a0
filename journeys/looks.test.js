import assert from "node:assert/strict";
import { test } from "node:test";
import { api, barriers, open, settings, signIn, until } from "./browser.js";

// Every kind of page, found in the demonstration as it is.
async function places(page) {
  const first = await until(async () => (await api(page, "/api/mails")).body.items[0]);
  const contact = [first.from, ...first.to].find((person) => person.contact);
  const box = (await api(page, "/api/mailboxes")).body.items[0];
  return [
    "/", "/mails", "/contacts", "/contacts/new", `/contacts/${contact.contact}`, `/contacts/${contact.contact}/edit`, "/users", `/users/${box.user}`, `/messages/${first.message}`,
    "/mailboxes", `/mailboxes/${box.id}`, "/not-filed", "/quarantine", "/search?q=the", settings, "/no-such-page",
    "/my/limits", "/access/policy", "/access/addresses", "/access/log", "/access/audit", "/access/check", "/access/exchange", "/access/evidence",
  ];
}

for (const scheme of ["light", "dark"]) {
  test(`pages are accessible, ${scheme}`, async (t) => {
    const { page } = await open(t, { colorScheme: scheme });
    await signIn(page);
    const found = [];
    for (const path of await places(page)) {
      await page.goto(path);
      found.push(...await barriers(page));
    }
    assert.deepEqual(found, []);
  });
}

test("pages fit a narrow screen, break no policy and throw nothing", async (t) => {
  const { page } = await open(t, { viewport: { width: 320, height: 640 } });
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) wrong.push(message.text()); });
  await signIn(page);
  for (const path of await places(page)) {
    await page.goto(path);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 320, `${path} is ${width} wide`);
  }
  assert.deepEqual(wrong, []);
});

test("pages end where their content ends", async (t) => {
  const { page } = await open(t);
  await signIn(page);
  for (const path of await places(page)) {
    await page.goto(path);
    const below = await page.evaluate(() => document.documentElement.scrollHeight - window.innerHeight);
    assert.ok(below <= 0, `${path} scrolls ${below} px on into nothing`);
  }
});

test("pages work without script", async (t) => {
  const { page } = await open(t, { javaScriptEnabled: false });
  await signIn(page);
  await page.goto("/mails");
  await page.locator(".list a.mail").nth(1).click();
  assert.match(page.url(), /message=/);
  await page.goto(settings);
  const before = await page.locator("input[name=domain]").count();
  await page.getByRole("button", { name: "Add a domain" }).click();
  assert.equal(await page.locator("input[name=domain]").count(), before + 1);
  await page.getByRole("button", { name: "Test", exact: true }).click();
  assert.ok(await page.locator(".steps li").count() >= 3);
});
