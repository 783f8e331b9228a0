import assert from "node:assert/strict";
import { test } from "node:test";
import { api, demo, open, signIn, until } from "./browser.js";

test("A8: new mail is filed by itself and comes up on the contact's page", async (t) => {
  const { page } = await open(t);
  await signIn(page);

  // The first import ends by itself.
  const boxes = await until(async () => {
    const { body } = await api(page, "/api/mailboxes");
    return body.items.length > 0 && body.items.every((box) => box.state === "live" && box.checked) && body.items;
  });
  assert.ok(boxes.reduce((sum, box) => sum + box.filed, 0) > 0, "nothing was filed");

  // A letter that arrives later is on its contact's page without anybody doing anything.
  const known = new Set((await api(page, "/api/search?q=&limit=500")).body.items.map((item) => item.message));
  const fresh = await until(async () => {
    const { body } = await api(page, "/api/search?q=&limit=20");
    return body.items.find((item) => !known.has(item.message));
  });
  const people = [fresh.from, ...fresh.to];
  const contact = people.find((person) => person.contact);
  await page.goto(`/contacts/${contact.contact}`);
  await page.locator(`#activities a[href="/messages/${fresh.message}"]`).click();
  await page.waitForURL(`**/messages/${fresh.message}`);
  assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), fresh.subject);
  const why = await page.locator(".why").first().innerText();
  assert.ok(why.includes(contact.address), `the page does not say why it is here: ${why}`);
});

test("A12: one message in three places, and not in a colleague's mail", async (t) => {
  const { page } = await open(t);
  await signIn(page);
  const me = (await api(page, "/api/users")).body.items.find((user) => user.addresses.includes(demo.user));
  const mine = await until(async () => {
    const { body } = await api(page, "/api/mails");
    return body.items.find((item) => item.direction === "in" && item.from.contact && item.to.length === 1);
  });

  await page.goto(`/mails?message=${mine.message}`);
  assert.equal(await page.locator(".reader h1").innerText(), mine.subject);
  const places = {};
  for (const [name, path] of [["contact", `/contacts/${mine.from.contact}`], ["user", `/users/${me.id}`]]) {
    await page.goto(path);
    const link = page.locator(`#activities a[href="/messages/${mine.message}"]`);
    assert.equal(await link.count(), 1, `${name}: it is listed ${await link.count()} times`);
    places[name] = await link.locator("time").getAttribute("datetime");
    await link.click();
    await page.waitForURL(`**/messages/${mine.message}`);
    assert.equal(await page.locator("h1").innerText(), mine.subject);
  }
  assert.equal(places.contact, places.user);

  await page.goto("/mails?threads=1");
  const whole = (await api(page, "/api/mails?limit=500")).body.total;
  const threads = (await api(page, "/api/mails?limit=500&threads=1")).body.total;
  assert.ok(threads < whole, `${threads} threads of ${whole} messages`);
  assert.match(await page.locator(".threads").first().innerText(), /\d+ in thread/);

  const read = (await api(page, `/api/messages/${mine.message}`)).body;
  const holders = new Set(read.copies.map((copy) => copy.address));
  const colleague = (await api(page, "/api/users")).body.items.find((user) => !holders.has(user.addresses[0]));
  const other = await open(t);
  await signIn(other.page, colleague.addresses[0]);
  const theirs = (await api(other.page, "/api/mails?limit=500")).body.items;
  assert.ok(!theirs.some((item) => item.message === mine.message), "it is in a colleague's mail");
});

test("A15: a contact added later brings the older mail", async (t) => {
  const { page } = await open(t);
  await signIn(page);
  // The cast writes with a supplier whom nobody has made a contact yet.
  const supplier = "hannah.lindqvist@norrby.example";
  await until(async () => {
    await page.goto("/not-filed?q=" + supplier);
    return await page.locator("tbody tr").count() > 0;
  });
  assert.match(await page.locator("tbody").innerText(), /no contact among the addresses/);

  await page.getByRole("link", { name: `Make ${supplier} a contact` }).click();
  await page.getByLabel("Addresses").fill("");
  await page.getByLabel("Name").fill("Hannah Lindqvist");
  await page.getByLabel("Company").fill("Norrby");
  await page.getByRole("button", { name: "Save contact" }).click();
  assert.match(await page.locator("#addresses-error").innerText(), /at least one address/);
  assert.equal(await page.getByLabel("Name").inputValue(), "Hannah Lindqvist");
  await page.getByLabel("Addresses").fill(supplier);
  await page.getByRole("button", { name: "Save contact" }).click();
  assert.match(await page.getByRole("status").innerText(), /looked at again/);

  // The page fills itself, and its figures with it.
  await page.locator("#activities a.activity").first().waitFor();
  assert.notEqual(await page.locator("#contact h2 .total").innerText(), "0");
  assert.notEqual(await page.locator(".glance b").first().innerText(), "0");
  assert.equal(await page.getByText("Nobody has written with Hannah yet.").count(), 0);
  const id = new URL(page.url()).pathname.split("/").pop();
  await page.getByRole("link", { name: "Edit", exact: true }).click();
  await page.getByLabel("Title").fill("Sales");
  await page.getByLabel("Addresses").fill(supplier + "\n" + demo.user);
  await page.getByRole("button", { name: "Save contact" }).click();
  assert.match(await page.locator("#addresses-error").innerText(), /is the address of the user/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "addresses");
  await page.getByLabel("Addresses").fill(supplier);
  await page.getByRole("button", { name: "Save contact" }).click();
  await page.getByText("Sales ·").waitFor();
  await until(async () => (await api(page, `/api/contacts/${id}/activities`)).body.total > 1);
  await until(async () => {
    await page.goto("/not-filed?q=" + supplier);
    return await page.locator("tbody tr").count() === 0;
  });
});

test("reading goes by click and key, without leaving the list", async (t) => {
  const { page } = await open(t);
  await signIn(page);
  await page.goto("/mails");
  const [, second, third] = await page.locator(".list a.mail").evaluateAll((rows) => rows.map((row) => row.getAttribute("href")));
  const reading = (href) => page.waitForFunction((href) => location.href.endsWith(href) && document.querySelector(".list a.mail[aria-current]")?.getAttribute("href") === href, href);
  await page.evaluate(() => { window.stayed = true; });
  await page.locator(`.list a.mail[href="${third}"]`).click();
  await reading(third);
  await page.keyboard.press("k");
  await reading(second);
  await page.keyboard.press("j");
  await reading(third);
  assert.ok(await page.evaluate(() => window.stayed), "the whole page was loaded anew");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.name), "q");
});
