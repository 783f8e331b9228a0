// Walks through a company whose Exchange misbehaves: what stands in Lena's mailbox cannot
// be read at first, and more is asked for on its control face.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, barriers, demo, open, signIn, until } from "./browser.js";

const exchange = async (what, body) => {
  const answer = await fetch(`${demo.control}/${what}`, { method: "POST", body });
  assert.equal(answer.status, 200, await answer.text());
};

// What must hold of a page in both schemes, and on a narrow screen.
async function looks(page, path) {
  await page.goto(path);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await barriers(page), []);
  }
  const size = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 640 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 320, `${path} is too wide`);
  await page.setViewportSize(size);
}

const held = async (page) => (await api(page, "/api/quarantine")).body;

test("A14: what cannot be read is listed, can be left, and is filed once it can be read", async (t) => {
  const { page } = await open(t);
  await signIn(page);
  await until(async () => (await api(page, "/api/mailboxes")).body.items.every((box) => box.checked));
  const { items } = await held(page);
  const whole = items.filter((item) => item.message), lost = items.filter((item) => !item.message);
  assert.ok(whole.length > 0 && lost.length > 0, JSON.stringify(items));

  await page.goto("/");
  await page.getByRole("main").getByRole("link", { name: "Quarantine" }).click();
  assert.equal(await page.locator("tbody tr").count(), items.length);
  const row = (item) => page.locator("tbody tr", { has: page.locator(`input[value="${item.id}"]`) });
  for (const item of items) {
    const told = await row(item).innerText();
    for (const word of [item.address, item.folder, item.why, "ErrorItemCorrupt", "in "]) assert.ok(told.includes(word), `${word} is missing in: ${told}`);
  }
  assert.equal(await page.locator("#held").innerText(), String(items.length));
  await looks(page, "/quarantine");

  // A message that was filed without its text says so.
  await row(whole[0]).getByRole("link", { name: "open the message" }).click();
  const note = page.locator(".message .note");
  assert.match(await note.innerText(), /text.* could not be read in Exchange \(ErrorItemCorrupt\).* It is tried again/s);
  await looks(page, page.url());

  // Left, it is not tried again, and stands among what is not filed.
  await page.goto("/quarantine");
  await row(lost[0]).getByRole("button", { name: "Leave" }).click();
  assert.match(await page.getByRole("status").innerText(), /1 item is left/);
  assert.equal(await page.locator("tbody tr").count(), items.length - 1);
  await page.goto("/not-filed?reason=left");
  assert.match(await page.locator("tbody").innerText(), /left by an administrator/);

  // Asked for again while Exchange still cannot read it, it stays.
  await page.goto("/quarantine");
  const before = (await held(page)).items.find((item) => item.id === whole[0].id);
  await row(whole[0]).getByRole("button", { name: "Try now" }).click();
  assert.match(await page.getByRole("status").innerText(), /1 item is tried now/);
  await until(async () => (await held(page)).items.find((item) => item.id === whole[0].id)?.tries > before.tries);

  // Once Exchange is well, what is ticked leaves the list without anybody reloading it.
  await exchange("calm");
  await page.goto("/quarantine");
  await page.getByLabel("All items of this page").check();
  await page.locator(".bulk").getByRole("button", { name: "Try now" }).click();
  await page.getByText("Nothing is in quarantine").waitFor();
  await page.goto(`/messages/${whole[0].message}`);
  assert.equal(await page.getByText("could not be read").count(), 0);
  assert.ok((await api(page, `/api/messages/${whole[0].message}`)).body.text.length > 20, "the text did not come");

  await page.goto("/quarantine?show=left");
  assert.equal(await page.locator("tbody tr").count(), 1);
  await looks(page, "/quarantine?show=left");
  await page.locator("tbody").getByRole("button", { name: "Try now" }).click();
  await page.getByText("Nothing was left").waitFor();
  await until(async () => (await held(page)).total === 0);
});

test("A15: what wants an administrator is told on every page until it has passed", async (t) => {
  const { page } = await open(t);
  await signIn(page);
  const tom = await until(async () => (await api(page, "/api/mailboxes")).body.items.find((box) => box.address.startsWith("tom.") && box.watch?.mode === "streaming"));
  const banner = page.locator(".banner");
  await page.goto("/contacts");
  assert.equal(await banner.count(), 0);
  await page.goto(`/mailboxes/${tom.id}`);
  assert.match(await page.locator(".facts").innerText(), /Exchange tells us within seconds/);

  await exchange("trouble", `error=ErrorImpersonateUserDenied:mailbox=${tom.address}`);
  await page.getByRole("button", { name: "Look now" }).click();
  await banner.waitFor();
  await page.goto("/contacts");
  assert.ok((await banner.innerText()).includes(`${tom.address}: the account may not read this mailbox`), await banner.innerText());
  await looks(page, "/mails");
  await looks(page, "/");
  assert.equal((await api(page, "/api/alerts")).body.items[0].code, "ErrorImpersonateUserDenied");

  await page.goto("/contacts");
  await banner.getByRole("link", { name: "What to do" }).click();
  assert.equal(await page.locator("#mailboxes tbody tr").count(), 1);
  await looks(page, page.url());
  await page.locator("#mailboxes").getByRole("link", { name: "What to do" }).click();
  assert.match(await page.locator(".finding .command").innerText(), /New-ManagementRoleAssignment/);
  await looks(page, page.url());

  // Put right, it goes away by itself, and the mailbox is followed again.
  await exchange("calm");
  await page.getByRole("button", { name: "Look now" }).click();
  await banner.waitFor({ state: "detached" });
  await page.getByText("Exchange tells us within seconds").waitFor();
});
